package launcher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"go.uber.org/zap"

	"dvr/controller/auth"
)

// right is what a call needs while the cluster's authorization is in force.
type right uint8

const (
	anyone right = iota // pages
	viewer
	admin
)

var (
	errUnauthenticated = errors.New("not authenticated")
	errForbidden       = errors.New("forbidden")
)

const (
	maxKnown = 256
	// acquainted is how long a node's word holds where no other comes.
	acquainted = 24 * time.Hour
)

// Known is a caller whom a node has vouched for: reading, and what brings nodes
// back, is for them while no node answers.
type Known struct {
	Actor string    `json:"actor"`
	Admin bool      `json:"admin,omitempty"`
	Until time.Time `json:"until"`
}

// credentialHash is under which a caller is kept; the credential itself is not.
func credentialHash(header string) string {
	sum := sha256.Sum256([]byte(header))
	return hex.EncodeToString(sum[:])
}

// meet keeps what a node says of a caller, and forget that it says nothing. The
// configuration is written when that is news, or the old word half as old as it gets.
func (l *Launcher) meet(header string, p person, now time.Time) error {
	key, k := credentialHash(header), Known{Actor: p.Actor, Admin: p.has(admin), Until: now.Add(acquainted).UTC().Truncate(time.Second)}
	if old, ok := l.store.get().Known[key]; ok && old.Actor == k.Actor && old.Admin == k.Admin && old.Until.Sub(now) > acquainted/2 {
		return nil
	}
	return l.store.update(func(c *Configuration) error {
		if c.Known == nil {
			c.Known = map[string]Known{}
		}
		maps.DeleteFunc(c.Known, func(_ string, k Known) bool { return now.After(k.Until) })
		for len(c.Known) >= maxKnown {
			first := ""
			for other, k := range c.Known {
				if first == "" || k.Until.Before(c.Known[first].Until) {
					first = other
				}
			}
			delete(c.Known, first)
		}
		c.Known[key] = k
		return nil
	})
}

func (l *Launcher) forget(header string) error {
	key := credentialHash(header)
	if _, ok := l.store.get().Known[key]; !ok {
		return nil
	}
	return l.store.update(func(c *Configuration) error {
		delete(c.Known, key)
		return nil
	})
}

// enforced is whether a node has said last that authorization is in force. It
// outlives the launcher.
func (l *Launcher) enforced() bool { return l.store.get().Authorization }

func (l *Launcher) setEnforced(on bool) error {
	if l.enforced() == on {
		return nil
	}
	return l.store.update(func(c *Configuration) error {
		c.Authorization = on
		return nil
	})
}

// person is what a node says of a caller.
type person struct {
	Authorization bool           `json:"authorization"`
	Actor         string         `json:"actor"`
	Role          string         `json:"role"`
	Grants        []personsGrant `json:"grants"`
}

type personsGrant struct {
	Role     string   `json:"role"`
	Prefixes []string `json:"prefixes"`
	Routers  []string `json:"routers"`
	Tags     []string `json:"tags"`
	Keys     []string `json:"keys"`
}

// has reports whether p may make calls that need n.
func (p *person) has(n right) bool {
	if n == viewer {
		return p.Role != ""
	}
	for _, g := range p.Grants {
		if g.Role == "admin" && len(g.Prefixes)+len(g.Routers)+len(g.Tags)+len(g.Keys) == 0 {
			return true
		}
	}
	return false
}

type credentialKey struct{}

// withCredential makes what is asked of nodes under ctx the caller's.
func withCredential(ctx context.Context, header string) context.Context {
	if header == "" {
		return ctx
	}
	return context.WithValue(ctx, credentialKey{}, header)
}

// whoTime is how long a node may take to say who somebody is.
const whoTime = 2 * time.Second

// errFlood: of callers from that address too many were nobody.
var errFlood = errors.New("too many calls of nobody known come from this address")

// strangerLimit is how many refusals a second each source is given, as a node gives them.
const strangerLimit = 10

// heard refuses whoever comes from where too many nobodies came from, unless a
// node has known him in the last day: no node is asked then.
func (l *Launcher) heard(r *http.Request) error {
	if now := time.Now(); l.strangers.Spent(r.RemoteAddr, now) {
		if k, ok := l.store.get().Known[credentialHash(r.Header.Get("Authorization"))]; !ok || now.After(k.Until) {
			return errFlood
		}
	}
	return nil
}

var errNoCredential = fmt.Errorf("%w: this cluster asks who you are: send Authorization: Bearer and a token", errUnauthenticated)

// errStranger: nobody can say now who the caller is, and nobody has before.
var errStranger = fmt.Errorf("%w: no node answers that could say who you are; whoever a node has known in the last day may read, and start nodes", ErrUnavailable)

// admit refuses a call that its caller may not make, by what a node says of
// whoever sends that header. Where none answers, reading and what brings nodes
// back is for those whom a node knew before; a cluster that has never been seen to
// ask asks nobody.
func (l *Launcher) admit(r *http.Request, n right, revives bool) error {
	if n == anyone {
		return nil
	}
	header := r.Header.Get("Authorization")
	ctx, cancel := context.WithTimeout(withCredential(r.Context(), header), whoTime)
	defer cancel()
	v, _ := l.view()
	for _, port := range v.candidates("") {
		var p person
		err := l.caller.do(ctx, http.MethodGet, port, "/v1/whoami", &p)
		var answer *answerError
		switch {
		case err == nil:
			if err := l.setEnforced(p.Authorization); err != nil {
				return err
			}
			switch {
			case !p.Authorization:
				return nil
			case header == "": // whoever the launcher itself is to the node
				return errNoCredential
			}
			if p.has(viewer) {
				if err := l.meet(header, p, time.Now()); err != nil {
					return err
				}
			}
			if p.has(n) {
				return nil
			}
			return fmt.Errorf("%w: %s may not do this", errForbidden, p.Actor)
		case errors.As(err, &answer) && answer.status == http.StatusUnauthorized:
			if err := errors.Join(l.setEnforced(true), l.forget(header)); err != nil {
				return err
			}
			return fmt.Errorf("%w: %s", errUnauthenticated, answer.detail)
		case errors.As(err, &answer) && answer.status == http.StatusNotFound && !l.enforced(): // an older node
			return nil
		}
	}
	if !l.enforced() {
		return nil
	}
	k, ok := l.store.get().Known[credentialHash(header)]
	switch {
	case !ok || time.Now().After(k.Until):
		return errStranger
	case n == admin && !k.Admin:
		return fmt.Errorf("%w: %s may not do this", errForbidden, k.Actor)
	case n == admin && !revives:
		return fmt.Errorf("%w: no node says who you are now", ErrUnavailable)
	}
	return nil
}

// readmitEvery is how long a stream goes on after its caller lost the right to it.
const readmitEvery = 2 * time.Second

// readmit ends a stream whose caller may no longer have it, until ctx ends.
func (l *Launcher) readmit(ctx context.Context, end context.CancelFunc, r *http.Request, c *call) {
	t := time.NewTicker(readmitEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if err := l.admit(r, c.needs, c.revives); err != nil && ctx.Err() == nil {
			l.log.Warn("a stream was ended", zap.String("path", r.URL.Path), zap.String("source", r.RemoteAddr), zap.Error(err))
			end()
			return
		}
	}
}

// joinToken has the cluster set a token with which a node that is added joins;
// empty where it asks for none.
func (l *Launcher) joinToken(r *http.Request, id string) (string, error) {
	if !l.enforced() {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(withCredential(r.Context(), r.Header.Get("Authorization")), changeTime)
	defer cancel()
	token, name, hash := auth.NewToken()
	body := map[string]any{
		"reason": "node " + id + " is added",
		"events": []any{map[string]any{"kind": "token.set", "id": name, "actor": "launcher", "sha256": hex.EncodeToString(hash[:]), "join": true,
			"expires": time.Now().Add(24 * time.Hour).UTC().Format("2006-01-02T15:04:05.000Z")}},
	}
	err := ErrUnavailable
	v, _ := l.view()
	for _, port := range v.candidates("") {
		if err = l.caller.post(ctx, port, "/v1/commits", body); err == nil {
			return token, nil
		}
	}
	return "", fmt.Errorf("a token for node %s to join with: %w", id, err)
}
