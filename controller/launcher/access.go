package launcher

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

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

// enforced remembers whether a node has said that authorization is in force.
type enforced struct{ atomic.Bool }

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

// admit refuses a call that its caller may not make, by what a node says of
// whoever sends that header. Where none answers, what brings nodes back stays
// possible, and reading; a cluster that was never seen to ask asks nobody.
func (l *Launcher) admit(r *http.Request, n right, revives bool) error {
	if n == anyone {
		return nil
	}
	ctx, cancel := context.WithTimeout(withCredential(r.Context(), r.Header.Get("Authorization")), whoTime)
	defer cancel()
	v, _ := l.view()
	for _, port := range v.candidates("") {
		var p person
		err := l.caller.do(ctx, http.MethodGet, port, "/v1/whoami", &p)
		var answer *answerError
		switch {
		case err == nil:
			l.enforced.Store(p.Authorization)
			switch {
			case !p.Authorization:
				return nil
			case r.Header.Get("Authorization") == "": // whoever the launcher itself is to the node
				return fmt.Errorf("%w: this cluster asks who you are: send Authorization: Bearer and a token", errUnauthenticated)
			case p.has(n):
				return nil
			}
			return fmt.Errorf("%w: %s may not do this", errForbidden, p.Actor)
		case errors.As(err, &answer) && answer.status == http.StatusUnauthorized:
			l.enforced.Store(true)
			return fmt.Errorf("%w: %s", errUnauthenticated, answer.detail)
		case errors.As(err, &answer) && answer.status == http.StatusNotFound: // an older node
			return nil
		}
	}
	if l.enforced.Load() && n == admin && !revives {
		return fmt.Errorf("%w: no node says who you are", ErrUnavailable)
	}
	return nil
}

// joinToken has the cluster set a token with which a node that is added joins;
// empty where it asks for none.
func (l *Launcher) joinToken(r *http.Request, id string) (string, error) {
	if !l.enforced.Load() {
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
