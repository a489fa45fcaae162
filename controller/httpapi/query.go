package httpapi

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"

	"dvr/controller/service"
	"dvr/eventlog"
)

// query is the parameters of a request, each known and given once.
type query struct {
	pairs [16]pair
	n     int
}

type pair struct{ name, value string }

func fieldError(field, format string, args ...any) error {
	return &eventlog.FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// parseQuery reads the raw query; allowed names what the call knows.
func parseQuery(raw string, allowed []string) (query, error) {
	var q query
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		var err1, err2 error
		if strings.ContainsAny(part, "%+;") {
			name, err1 = url.QueryUnescape(name)
			value, err2 = url.QueryUnescape(value)
			if err1 != nil || err2 != nil {
				return q, fieldError(name, "is not a well formed query parameter")
			}
		}
		known := false
		for _, a := range allowed {
			known = known || a == name
		}
		if !known {
			return q, fieldError(name, "is not a parameter of this call, which takes %s", orNone(allowed))
		}
		if q.has(name) {
			return q, fieldError(name, "is given twice")
		}
		if q.n == len(q.pairs) {
			return q, fieldError(name, "is one parameter too many")
		}
		q.pairs[q.n] = pair{name, value}
		q.n++
	}
	return q, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (q *query) has(name string) bool {
	for i := range q.n {
		if q.pairs[i].name == name {
			return true
		}
	}
	return false
}

func (q *query) get(name string) string {
	for i := range q.n {
		if q.pairs[i].name == name {
			return q.pairs[i].value
		}
	}
	return ""
}

// Parameters that do not change what is done, only how it is answered.
func shapesAnswer(name string) bool {
	switch name {
	case "wait", "timeout", "require", "consistency", "dry_run":
		return true
	}
	return false
}

// effect appends the canonical form of the parameters that change what is done.
func (q *query) effect(dst []byte) []byte {
	var list []pair
	for _, p := range q.pairs[:q.n] {
		if !shapesAnswer(p.name) {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return dst
	}
	sort.Slice(list, func(i, j int) bool { return list[i].name < list[j].name })
	for i, p := range list {
		dst = append(dst, "?&"[min(i, 1)])
		dst = append(append(append(dst, p.name...), '='), url.QueryEscape(p.value)...)
	}
	return dst
}

// Parameters by kind of call.
var (
	writeParams = append([]string{"wait", "timeout", "require", "reason"}, careParams...)
	fixedParams = []string{"wait", "timeout", "require", "reason", "dry_run", "force"} // of what is done now, for good
	freshParams = []string{"consistency", "min_revision", "timeout"}                   // of reads that are about the present, or all of the past
	readParams  = with(freshParams, "at")
)

func with(base []string, more ...string) []string {
	return append(append([]string(nil), base...), more...)
}

// at reads the past revision or time (Unix milliseconds) that is asked about;
// both 0: none.
func (q *query) at(name string) (r eventlog.Revision, ms int64, err error) {
	v := q.get(name)
	if !q.has(name) {
		return 0, 0, nil
	}
	if n, err := number(v); err == nil && n > 0 {
		return eventlog.Revision(n), 0, nil
	}
	// A plus that was not escaped came as a space.
	t, err := time.Parse(time.RFC3339Nano, strings.Replace(v, " ", "+", 1))
	if err != nil || t.UnixMilli() < 1 {
		return 0, 0, fieldError(name, "must be a revision from 1 on, or a time such as 2026-11-21T22:29:21Z")
	}
	return 0, t.UnixMilli(), nil
}

func (q *query) timeout() (time.Duration, error) {
	if !q.has("timeout") {
		return 0, nil
	}
	d, err := time.ParseDuration(q.get("timeout"))
	if err != nil || d <= 0 || d > service.MaxTimeout {
		return 0, fieldError("timeout", "must be a duration above 0 and up to %s, such as 500ms or 10s", service.MaxTimeout)
	}
	return d, nil
}

func (q *query) waitMode() (service.WaitMode, error) {
	if q.n == 0 || !q.has("wait") {
		return service.WaitProjected, nil
	}
	switch q.get("wait") {
	case "logged":
		return service.WaitLogged, nil
	case "projected":
		return service.WaitProjected, nil
	case "installed":
		return service.WaitInstalled, nil
	}
	return 0, fieldError("wait", "must be logged, projected or installed")
}

func (q *query) require() ([]eventlog.RouterID, error) {
	if !q.has("require") {
		return nil, nil
	}
	var out []eventlog.RouterID
	for name := range strings.SplitSeq(q.get("require"), ",") {
		id, err := routerID("require", name)
		if err != nil {
			return nil, err
		}
		if len(out) == 1000 {
			return nil, fieldError("require", "names more than 1000 routers")
		}
		out = append(out, id)
	}
	return out, nil
}

// read gives the consistency that the caller asks for.
func (q *query) read() (r service.Read, err error) {
	switch v := q.get("consistency"); {
	case v == "linearizable":
		r.Consistency = service.Linearizable
	case v == "local":
		r.Consistency = service.Local
	case q.has("consistency"):
		return r, fieldError("consistency", "must be linearizable or local")
	}
	if r.Timeout, err = q.timeout(); err != nil {
		return r, err
	}
	if r.At, r.AtTime, err = q.at("at"); err != nil {
		return r, err
	}
	if !q.has("min_revision") {
		return r, nil
	}
	err = readPlace("min_revision", q.get("min_revision"), &r)
	return r, err
}

// readPlace reads a revision or a position into the minimum of r.
func readPlace(name, v string, r *service.Read) error {
	bad := fieldError(name, "must be a revision such as 42, or a position such as DVR-Position gives")
	if id, rest, ok := strings.Cut(v, "/"); ok {
		epoch, rev, ok := strings.Cut(rest, "/")
		e, err1 := number(epoch)
		n, err2 := number(rev)
		if !ok || id == "" || err1 != nil || err2 != nil {
			return bad
		}
		r.Min = eventlog.Position{LogID: id, Epoch: e, Revision: eventlog.Revision(n)}
		return nil
	}
	n, err := number(v)
	if err != nil {
		return bad
	}
	r.MinRevision = eventlog.Revision(n)
	return nil
}

// number reads digits alone, without sign or leading zeros.
func number(v string) (uint64, error) {
	n, err := strconv.ParseUint(v, 10, 63)
	if err == nil && (len(v) > 1 && v[0] == '0') {
		err = strconv.ErrSyntax
	}
	return n, err
}

func (q *query) count(name string, byDefault, most int) (int, error) {
	if !q.has(name) {
		return byDefault, nil
	}
	n, err := number(q.get(name))
	if err != nil || n < 1 || n > uint64(most) {
		return 0, fieldError(name, "must be a whole number from 1 to %d", most)
	}
	return int(n), nil
}

// place names the parameter that says where a list goes on: after, or cursor,
// which takes what DVR-Next-Cursor gave and is the same here.
func (q *query) place() (string, error) {
	if !q.has("cursor") {
		return "after", nil
	}
	if q.has("after") {
		return "", fieldError("cursor", "is given beside after")
	}
	return "cursor", nil
}

func (q *query) revision(name string) (eventlog.Revision, error) {
	if !q.has(name) {
		return 0, nil
	}
	n, err := number(q.get(name))
	if err != nil {
		return 0, fieldError(name, "must be a revision, a whole number")
	}
	return eventlog.Revision(n), nil
}

func (q *query) prefix(name string) (netip.Prefix, error) {
	if !q.has(name) {
		return netip.Prefix{}, nil
	}
	p, err := eventlog.ParsePrefix(q.get(name))
	return p, named(name, err)
}

func (q *query) addr(name string) (netip.Addr, error) {
	if !q.has(name) {
		return netip.Addr{}, nil
	}
	a, err := eventlog.ParseAddr(q.get(name))
	return a, named(name, err)
}

// router reads a router filter; "*" is one.
func (q *query) router(byDefault eventlog.RouterID) (eventlog.RouterID, error) {
	if !q.has("router") {
		return byDefault, nil
	}
	if q.get("router") == string(eventlog.AllRouters) {
		return eventlog.AllRouters, nil
	}
	return routerID("router", q.get("router"))
}

// routerID checks the form of a router's name.
func routerID(field, v string) (eventlog.RouterID, error) {
	ok := len(v) > 0 && len(v) <= 63
	for i := 0; ok && i < len(v); i++ {
		c := v[i]
		ok = c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || i > 0 && (c == '.' || c == '_' || c == '-')
	}
	if !ok {
		return "", fieldError(field, "must be a router: a letter or digit, then up to 62 letters, digits, dots, underscores or dashes")
	}
	return eventlog.RouterID(v), nil
}

// named gives a field error its field.
func named(field string, err error) error {
	if f, ok := err.(*eventlog.FieldError); ok {
		return &eventlog.FieldError{Field: field, Reason: f.Reason}
	}
	return err
}

// condition is If-Match or If-None-Match: texts are the tags as they came.
type condition struct {
	service.Precondition
	texts []string
}

// tags reads If-Match or If-None-Match. The hash in a tag is about what was
// shown, so it has no meaning for a precondition of a change.
func tags(h http.Header, name string) (condition, error) {
	var p condition
	values := h[name]
	if len(values) == 0 {
		return p, nil
	}
	v := strings.TrimSpace(strings.Join(values, ","))
	if v == "*" {
		p.Any = true
		return p, nil
	}
	p.Tags = []service.Tag{}
	for part := range strings.SplitSeq(v, ",") {
		part = strings.TrimSpace(part)
		if name == "If-None-Match" {
			part = strings.TrimPrefix(part, "W/")
		}
		inner, ok := strings.CutPrefix(part, `"`)
		inner, ok2 := strings.CutSuffix(inner, `"`)
		if !ok || !ok2 || len(p.texts) == 64 {
			return p, fieldError(name, `must be "*" or up to 64 ETags as the API gives them, in quotes`)
		}
		p.texts = append(p.texts, part)
		epoch, rest, _ := strings.Cut(inner, "-")
		rev, _, _ := strings.Cut(rest, "-")
		e, err1 := number(epoch)
		r, err2 := number(rev)
		if err1 != nil || err2 != nil {
			continue // a well formed tag that no item ever has
		}
		p.Tags = append(p.Tags, service.Tag{Epoch: e, Revision: eventlog.Revision(r)})
	}
	return p, nil
}
