package httpapi

import (
	"errors"
	"net/http"
	"time"

	"dvr/projector"
)

// readmitEvery is how often it is asked whether the caller of an answer that
// lasts may still have it, though the rights are the same: his credential may
// have expired.
const readmitEvery = time.Second

// errRevoked ends an answer whose caller has lost the right to it.
var errRevoked = errors.New("the caller may no longer have this answer")

// leash says whether the caller of an answer may still have it. It belongs to one
// goroutine.
type leash struct {
	server     *Server
	credential string // "": nobody was asked who it is
	need       projector.Rank
	unscoped   bool // need counts without scope only
	access     *projector.Access
	asked      time.Time
}

// leash is that of a call which was admitted now.
func (s *Server) leash(r *http.Request, k class) *leash {
	l := &leash{server: s, need: projector.RankViewer, access: s.auth.State().Access(), asked: time.Now()}
	if v := r.Header[callerHeader]; len(v) > 1 {
		l.credential = v[1]
	}
	if k == administers {
		l.need, l.unscoped = projector.RankAdmin, true
	}
	return l
}

// holds reports whether the caller may go on. Cost: two atomic loads as long as
// nobody's rights change, but for once in readmitEvery.
func (l *leash) holds(now time.Time) bool {
	access := l.server.auth.State().Access()
	if access == l.access && now.Sub(l.asked) < readmitEvery {
		return true
	}
	l.access, l.asked = access, now
	if !access.Enabled() {
		return true
	}
	if l.credential == "" {
		return false
	}
	p, err := l.server.auth.Authenticate(l.credential)
	if err != nil {
		return false
	}
	rank, free := access.Rank(p)
	if l.unscoped {
		rank = free
	}
	return rank >= l.need
}

// leashed is a writer that ends with the right of its reader.
type leashed struct {
	http.ResponseWriter
	leash *leash
}

func (w *leashed) Write(p []byte) (int, error) {
	if !w.leash.holds(time.Now()) {
		return 0, errRevoked
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *leashed) Unwrap() http.ResponseWriter { return w.ResponseWriter }
