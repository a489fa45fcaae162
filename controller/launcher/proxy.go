package launcher

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"
)

// proxyPrefix is before a node's id and then the path of its API.
const proxyPrefix = "/api/node/"

// forEverybody are the paths of a node that answer whoever asks.
var forEverybody = map[string]bool{"/livez": true, "/readyz": true, "/health": true, "/version": true, "/v1/whoami": true, "/openapi.yaml": true}

// proxy passes /api/node/<id>/… on to the node's API, the path byte for byte.
// It reports whether the request was one of these.
func (l *Launcher) proxy() func(http.ResponseWriter, *http.Request) bool {
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			// The launcher has checked where the request comes from; to the node it
			// comes from the launcher.
			r.Out.Host = r.Out.URL.Host
			r.Out.Header.Del("Origin")
			r.Out.Header.Del("Sec-Fetch-Site")
			// In lower case it is no leave for Go's transport to send a change again by
			// itself: the second answer would hide what became of the first attempt.
			if key, ok := r.Out.Header["Idempotency-Key"]; ok {
				delete(r.Out.Header, "Idempotency-Key")
				r.Out.Header["idempotency-key"] = key
			}
			r.Out.URL.RawQuery = r.In.URL.RawQuery // a malformed one is the node's to refuse
		},
		Transport:     l.caller.http.Transport,
		FlushInterval: -1, // event streams
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode == http.StatusUnauthorized { // to the node all come from here
				l.strangers.Refuse(r.Request.RemoteAddr, time.Now())
			}
			return nil
		},
		ErrorLog: zap.NewStdLog(l.log.Named("proxy")),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				l.problem(w, r, fmt.Errorf("%w: %w", errOffline, err))
			}
		},
	}
	return func(w http.ResponseWriter, r *http.Request) bool {
		path, ok := strings.CutPrefix(r.URL.EscapedPath(), proxyPrefix)
		if !ok {
			return false
		}
		escaped, rest, slash := strings.Cut(path, "/")
		id, err := url.PathUnescape(escaped)
		if err == nil {
			err = checkID(id)
		}
		if err != nil {
			l.problem(w, r, err)
			return true
		}
		n, ok := l.store.get().Nodes[id]
		switch {
		case !ok:
			l.problem(w, r, ErrUnknownNode)
			return true
		case !slash:
			l.problem(w, r, errNoPath)
			return true
		case r.Header.Get("Authorization") == "" && !forEverybody["/"+rest] && l.enforced():
			// In TLS the node would take it for the launcher's.
			l.problem(w, r, errNoCredential)
			return true
		}
		to := r.Clone(r.Context())
		to.URL.Scheme, to.URL.Host = l.caller.scheme, loopback(n.Ports.API)
		to.URL.RawPath = "/" + rest
		if to.URL.Path, err = url.PathUnescape(to.URL.RawPath); err != nil {
			l.problem(w, r, fmt.Errorf("%w: %w", errMalformed, err))
			return true
		}
		p.ServeHTTP(w, to)
		return true
	}
}
