package node

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"go.uber.org/zap"

	"dvr/controller/systemd"
)

// askReadiness is between two looks at whether the node is ready.
const askReadiness = 500 * time.Millisecond

// supervision tells the service manager how the node is, by what its own probes
// answer: READY once /readyz is 200, then what it says whenever that changes, and
// that it is alive while /livez is. A node that is not ready is no reason to
// restart it, so readiness does not feed the watchdog. Probes are asked in
// process: a crowd at the port does not have the node killed.
type supervision struct {
	manager *systemd.Notifier
	probes  http.Handler
	log     *zap.Logger
	every   time.Duration // of looks at readiness
}

// run tells until ctx ends.
func (s *supervision) run(ctx context.Context) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.keepAlive(ctx)
	}()
	s.followReadiness(ctx)
	<-ended
}

// keepAlive does nothing without a watchdog. Two attempts fit into its time.
func (s *supervision) keepAlive(ctx context.Context) {
	limit := s.manager.Watchdog()
	if limit == 0 {
		return
	}
	for t := time.NewTicker(max(limit/3, time.Millisecond)); ; {
		if code, _ := s.ask(ctx, "/livez", limit); code == http.StatusOK {
			s.tell(systemd.Alive)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

func (s *supervision) followReadiness(ctx context.Context) {
	ready, last := false, ""
	for t := time.NewTicker(s.every); ; {
		code, said := s.ask(ctx, "/readyz", 2*time.Second)
		var news []string
		if code == http.StatusOK && !ready {
			ready, news = true, []string{systemd.Ready}
		}
		if said != last {
			last, news = said, append(news, systemd.Status(said))
		}
		if ctx.Err() == nil {
			s.tell(news...)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

func (s *supervision) tell(news ...string) {
	if err := s.manager.Tell(news...); err != nil {
		s.log.Warn("the service manager does not hear this node", zap.Error(err))
	}
}

// ask gives a probe's code and what it says in a sentence.
func (s *supervision) ask(ctx context.Context, path string, limit time.Duration) (int, string) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, http.NoBody)
	if err != nil {
		return 0, err.Error()
	}
	r.RequestURI, r.RemoteAddr = path, "127.0.0.1:0"
	w := &answer{code: http.StatusOK, header: http.Header{}}
	s.probes.ServeHTTP(w, r)
	var body struct {
		Status any // "ready", or of a problem the code
		Detail string
		Checks struct {
			CaughtUp string `json:"caught_up"`
			Quorum   string
		}
	}
	if err := json.Unmarshal(w.body.Bytes(), &body); err != nil {
		return w.code, http.StatusText(w.code)
	}
	for _, check := range []string{body.Checks.Quorum, body.Checks.CaughtUp} {
		if check != "" && check != "ok" {
			return w.code, "not ready: " + check
		}
	}
	if body.Detail != "" {
		return w.code, body.Detail
	}
	if status, ok := body.Status.(string); ok {
		return w.code, status
	}
	return w.code, http.StatusText(w.code)
}

// answer is an http.ResponseWriter that keeps what it gets.
type answer struct {
	code   int
	header http.Header
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(code int)        { a.code = code }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
