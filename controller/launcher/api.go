package launcher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.uber.org/zap"

	"dvr/controller/certs"
	"dvr/controller/dashboard"
	"dvr/controller/gate"
	"dvr/controller/httpapi/openapi"
)

// maxBody is the largest body of the control API.
const maxBody = 64 << 10

// Errors of the HTTP form. The seed's words come first.
var (
	errMalformed   = errors.New("invalid request")
	errNoNodeID    = errors.New("node_id is required")
	errNoPath      = errors.New("no such call")
	errMethod      = errors.New("method not allowed")
	errContentType = errors.New("unsupported content type")
	errTooLarge    = errors.New("the body is too large")
	errOffline     = errors.New("the node does not answer")
	errBusy        = errors.New("too many streams")
)

// kinds maps errors to answers; the first that errors.Is wins.
var kinds = []struct {
	err    error
	status int
	slug   string
	title  string
	retry  int // seconds of Retry-After; 0: none
}{
	{gate.ErrForeignHost, http.StatusForbidden, "foreign-host", "Foreign host", 0},
	{gate.ErrCrossSite, http.StatusForbidden, "cross-site", "Cross-site request", 0},
	{certs.ErrNoCertificate, http.StatusUnauthorized, "unauthenticated", "Not authenticated", 0},
	{certs.ErrExpired, http.StatusUnauthorized, "unauthenticated", "Not authenticated", 0},
	{certs.ErrKind, http.StatusForbidden, "forbidden", "Not allowed", 0},
	{errUnauthenticated, http.StatusUnauthorized, "unauthenticated", "Not authenticated", 0},
	{errFlood, http.StatusTooManyRequests, "overloaded", "Overloaded", 1},
	{errForbidden, http.StatusForbidden, "forbidden", "Forbidden", 0},
	{errNoPath, http.StatusNotFound, "not-found", "Not found", 0},
	{errMethod, http.StatusMethodNotAllowed, "method-not-allowed", "Method not allowed", 0},
	{errContentType, http.StatusUnsupportedMediaType, "content-type", "Unsupported content type", 0},
	{errTooLarge, http.StatusRequestEntityTooLarge, "too-large", "Too large", 0},
	{errMalformed, http.StatusBadRequest, "invalid", "Invalid request", 0},
	{errNoNodeID, http.StatusBadRequest, "invalid", "Invalid request", 0},
	{ErrBadID, http.StatusBadRequest, "invalid", "Invalid request", 0},
	{ErrUnknownNode, http.StatusNotFound, "unknown-node", "Unknown node", 0},
	{ErrExists, http.StatusConflict, "exists", "Already exists", 0},
	{ErrQuorum, http.StatusConflict, "quorum", "The cluster would lose its quorum", 0},
	{ErrNotFormed, http.StatusConflict, "not-formed", "The cluster has not formed", 0},
	{ErrLeaving, http.StatusConflict, "leaving", "The node is being decommissioned", 0},
	{ErrNoPorts, http.StatusConflict, "no-ports", "No free ports", 0},
	{ErrUnavailable, http.StatusServiceUnavailable, "unavailable", "Unavailable", 2},
	{errOffline, http.StatusBadGateway, "offline", "The node does not answer", 0},
	{errBusy, http.StatusServiceUnavailable, "busy", "Busy", 2},
}

// call is one of the control API.
type call struct {
	method, path string
	needs        right
	revives      bool // it brings nodes back
	lasts        bool // it goes on until its caller goes, or may no longer have it
	answer       func(http.ResponseWriter, *http.Request) error
}

// calls is the table of them; controller/httpapi/openapi describes them.
func (l *Launcher) calls() []call {
	out := []call{
		{http.MethodGet, "/api/control/nodes", viewer, false, false, l.list},
		{http.MethodPost, "/api/control/add", admin, false, false, l.add},
		{http.MethodGet, "/api/control/events", viewer, false, true, l.events},
		{http.MethodGet, "/api/control/logs/{id}", admin, true, true, l.logs},
	}
	for _, action := range []struct {
		path, status string
		do           func(ctx context.Context, id string) error
	}{
		{"stop", "stop signal sent", func(_ context.Context, id string) error { return l.Stop(id) }},
		{"start", "start signal sent", func(_ context.Context, id string) error { return l.Start(id) }},
		{"restart", "restart signal sent", func(_ context.Context, id string) error { return l.Restart(id) }},
		// Begun, it is carried through, whether or not the caller waits.
		{"delete", "decommissioned", func(ctx context.Context, id string) error { return l.Decommission(context.WithoutCancel(ctx), id) }},
	} {
		revives := action.path == "start" || action.path == "restart"
		out = append(out, call{http.MethodPost, "/api/control/" + action.path + "/{id}", admin, revives, false, func(w http.ResponseWriter, r *http.Request) error {
			if err := action.do(withCredential(r.Context(), r.Header.Get("Authorization")), r.PathValue("id")); err != nil {
				return err
			}
			return send(w, r, http.StatusOK, map[string]string{"status": action.status, "id": r.PathValue("id")})
		}})
	}
	return out
}

// handler is the whole HTTP form: admission, the way to the nodes, the rest.
func (l *Launcher) handler() http.Handler {
	mux := http.NewServeMux()
	add := func(c call) {
		mux.HandleFunc(c.path, func(w http.ResponseWriter, r *http.Request) {
			err := errMethod
			if r.Method == c.method || c.method == http.MethodGet && r.Method == http.MethodHead {
				if err = l.admit(r, c.needs, c.revives); err == nil {
					if c.lasts {
						ctx, cancel := context.WithCancel(r.Context())
						defer cancel()
						go l.readmit(ctx, cancel, r, &c)
						r = r.WithContext(ctx)
					}
					err = c.answer(w, r)
				}
			} else {
				w.Header().Set("Allow", c.method)
			}
			if err != nil {
				l.problem(w, r, err)
			}
		})
	}
	for _, c := range l.calls() {
		add(c)
	}
	for path, content := range pages() {
		add(call{http.MethodGet, path, anyone, false, false, content})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { l.problem(w, r, l.elsewhere(r)) })

	proxy, site, reference := l.proxy(), dashboard.New(dashboard.Launcher), openapi.NewSite(openapi.Launcher)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		if l.hosts.AdmitHost(r) == nil && (reference.Serve(w, r) || site.Built() && site.Serve(w, r)) {
			return
		}
		if err := l.hosts.Admit(r); err != nil {
			l.problem(w, r, err)
			return
		}
		if err := l.identified(r); err != nil {
			l.problem(w, r, err)
			return
		}
		if err := l.heard(r); err != nil {
			l.problem(w, r, err)
			return
		}
		if proxy(w, r) { // before mux, which would rewrite paths such as /kv/a//b
			return
		}
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// elsewhere is why there is no such call, with where the nodes' API is where it
// may be one of theirs.
func (l *Launcher) elsewhere(r *http.Request) error {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		return errNoPath
	}
	var at []string
	nodes, _ := l.Nodes()
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		at = append(at, nodes[id].Addresses.API)
	}
	if len(at) == 0 {
		return errNoPath
	}
	if len(at) > 5 {
		at = append(at[:5], "…")
	}
	return fmt.Errorf("%w here: this is the launcher's port, the nodes' API is at %s", errNoPath, strings.Join(at, ", "))
}

func (l *Launcher) list(w http.ResponseWriter, r *http.Request) error {
	nodes, _ := l.Nodes()
	return send(w, r, http.StatusOK, nodes)
}

func (l *Launcher) add(w http.ResponseWriter, r *http.Request) error {
	if t := r.Header.Get("Content-Type"); t != "" {
		if media, _, err := mime.ParseMediaType(t); err != nil || media != "application/json" {
			return fmt.Errorf("%w %q: application/json is expected", errContentType, t)
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return errTooLarge
		}
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	var request struct {
		NodeID   string `json:"node_id"`
		Observer bool   `json:"observer"`
	}
	if err := jsonv2.Unmarshal(body, &request, jsonv2.RejectUnknownMembers(true)); err != nil {
		return malformed(err)
	}
	if request.NodeID == "" {
		return errNoNodeID
	}
	token, err := l.joinToken(r, request.NodeID)
	if err != nil {
		return err
	}
	n, err := l.addWith(request.NodeID, request.Observer, token)
	if err != nil {
		return err
	}
	return send(w, r, http.StatusOK, struct {
		ID       string `json:"id"`
		APIPort  int    `json:"api_port"`
		Observer bool   `json:"observer"`
	}{request.NodeID, n.Ports.API, n.Observer})
}

// malformed names the member at fault, where one is, as nodes do.
func malformed(err error) error {
	var semantic *jsonv2.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntactic):
		return &bodyError{syntactic.JSONPointer.LastToken(), "is there twice"}
	case errors.As(err, &syntactic):
		return fmt.Errorf("%w: not well formed JSON near byte %d", errMalformed, syntactic.ByteOffset)
	case !errors.As(err, &semantic) || semantic.JSONPointer == "":
		return fmt.Errorf("%w: must be a JSON object", errMalformed)
	case errors.Is(err, jsonv2.ErrUnknownName):
		return &bodyError{semantic.JSONPointer.LastToken(), "is not a known member"}
	}
	return &bodyError{semantic.JSONPointer.LastToken(), "has the wrong type"}
}

func send(w http.ResponseWriter, r *http.Request, status int, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(raw, '\n'))
	}
	return nil
}

// problem answers with err as RFC 9457 has it, and `error` as the seed does.
func (l *Launcher) problem(w http.ResponseWriter, r *http.Request, err error) {
	status, slug, title, retry := http.StatusInternalServerError, "internal", "Internal error", 0
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			status, slug, title, retry = k.status, k.slug, k.title, k.retry
			break
		}
	}
	if status == http.StatusUnauthorized {
		l.strangers.Refuse(r.RemoteAddr, time.Now())
	}
	short := err.Error()
	switch {
	case errors.Is(err, errMalformed):
		short = errMalformed.Error()
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		l.refused.Warn("a call was refused", zap.String("from", r.RemoteAddr), zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(err))
	case status == http.StatusInternalServerError:
		l.log.Error("request failed", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(err))
	}
	p := struct {
		Type     string `json:"type"`
		Title    string `json:"title"`
		Status   int    `json:"status"`
		Detail   string `json:"detail"`
		Instance string `json:"instance"`
		Error    string `json:"error"`
		Field    string `json:"field,omitempty"`
	}{"/problems/" + slug, title, status, strings.ReplaceAll(err.Error(), "\n", "; "), r.URL.Path, strings.ReplaceAll(short, "\n", "; "), ""}
	var body *bodyError
	if errors.As(err, &body) {
		p.Field = body.field
	}
	if errors.Is(err, ErrBadID) || errors.Is(err, errNoNodeID) {
		p.Field = "node_id"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(p) // strings and a number
	if retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retry))
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="dvr"`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes())
	}
}
