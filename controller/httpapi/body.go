package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"dvr/controller/service"
	"dvr/eventlog"
)

// Largest bodies.
const (
	maxObjectBody     = 64 << 10
	maxCandidatesBody = 1 << 20
	maxCommitBody     = 32 << 20
)

// readBody reads a JSON body of at most limit bytes into b.
func readBody(r *http.Request, b *buffer, limit int) error {
	if err := contentType(r, "application/json"); err != nil {
		return err
	}
	if len(r.Header["Content-Encoding"]) > 0 {
		if coding, err := contentCoding(r); err != nil || coding != "" {
			return fmt.Errorf("%w: only imports may be compressed", errNoEncoding)
		}
	}
	if r.ContentLength > int64(limit) {
		return fmt.Errorf("%w: %d bytes, at most %d", errBodyTooBig, r.ContentLength, limit)
	}
	for {
		if len(b.b) > limit {
			return fmt.Errorf("%w: at most %d bytes", errBodyTooBig, limit)
		}
		if len(b.b) == cap(b.b) {
			b.b = append(b.b, 0)[:len(b.b)]
		}
		n, err := r.Body.Read(b.b[len(b.b):cap(b.b)])
		b.b = b.b[:len(b.b)+n]
		if err == io.EOF {
			break
		}
		if errors.Is(err, errBodies) {
			return err
		}
		if err != nil {
			return fieldError("body", "could not be read: %v", err)
		}
	}
	if len(b.b) > limit {
		return fmt.Errorf("%w: at most %d bytes", errBodyTooBig, limit)
	}
	if len(bytes.TrimSpace(b.b)) == 0 {
		return fieldError("body", "is empty; a JSON object is expected")
	}
	return nil
}

// contentType refuses a body that is declared as something else. Undeclared is accepted.
func contentType(r *http.Request, want string) error {
	values := r.Header["Content-Type"]
	if len(values) == 0 || len(values) == 1 && values[0] == want {
		return nil
	}
	t, params, err := mime.ParseMediaType(values[0])
	if err != nil || t != want || len(values) > 1 {
		return fmt.Errorf("%w %q: %s is expected", errContentType, values[0], want)
	}
	for k, v := range params {
		if k != "charset" || !strings.EqualFold(v, "utf-8") {
			return fmt.Errorf("%w %q: %s in UTF-8 is expected", errContentType, values[0], want)
		}
	}
	return nil
}

var kindMember = []byte(`{"kind":"route.announced",`)

// decodeRoute reads the object of POST /routes. The log's decoder reads it as
// a route.announced; only where it finds fault the slow, strict reader looks
// too, for the better message and for white space that a log line cannot have.
func decodeRoute(body []byte) (*eventlog.RouteAnnounced, error) {
	scratch := getBuffer()
	defer putBuffer(scratch)
	if e, err := decodeAs(scratch, kindMember, body); err == nil {
		return e.(*eventlog.RouteAnnounced), nil
	}
	flat, err := flatten(body)
	if err != nil {
		return nil, err
	}
	if err := noMember(flat, "kind"); err != nil {
		return nil, err
	}
	e, err := decodeAs(scratch, kindMember, flat)
	if err != nil {
		return nil, err
	}
	return e.(*eventlog.RouteAnnounced), nil
}

// decodeAs decodes an object with members put before its own. head is the text
// up to and including their last comma.
func decodeAs(scratch *buffer, head, body []byte) (eventlog.Event, error) {
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) == 0 || body[0] != '{' {
		return nil, fieldError("body", "must be a JSON object")
	}
	rest := bytes.TrimLeft(body[1:], " \t\r\n")
	scratch.b = append(scratch.b[:0], head...)
	if len(rest) > 0 && rest[0] == '}' {
		scratch.b = scratch.b[:len(scratch.b)-1]
	}
	scratch.b = append(scratch.b, bytes.TrimRight(rest, " \t\r\n")...)
	return eventlog.DecodeGiven(scratch.b)
}

// flatten checks that body is one strict JSON object and takes the white space out.
func flatten(body []byte) (jsontext.Value, error) {
	v := jsontext.Value(append([]byte(nil), body...))
	if err := v.Compact(); err != nil {
		return nil, jsonError(err)
	}
	if v.Kind() != '{' {
		return nil, fieldError("body", "must be a JSON object")
	}
	return v, nil
}

func noMember(flat jsontext.Value, name string) error {
	var m map[string]jsontext.Value
	if json.Unmarshal(flat, &m) == nil {
		if _, ok := m[name]; ok {
			return fieldError(name, "is not a known member")
		}
	}
	return nil
}

// decodeObject reads a small object into v, strictly.
func decodeObject(body []byte, v any) error {
	if err := noNull(body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, v, json.RejectUnknownMembers(true)); err != nil {
		return jsonError(err)
	}
	return nil
}

// noNull refuses null wherever it is: a member that is not given is left out.
// What is not JSON is left to who decodes it.
func noNull(body []byte) error {
	if !bytes.Contains(body, []byte("null")) {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		t, err := d.ReadToken()
		if err != nil {
			return nil
		}
		if t.Kind() == 'n' {
			return fieldError(pointer(d.StackPointer()), "must not be null")
		}
	}
}

// jsonError names the member at fault.
func jsonError(err error) error {
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &semantic):
		field := pointer(semantic.JSONPointer)
		switch {
		case errors.Is(err, json.ErrUnknownName):
			return fieldError(field, "is not a known member")
		case semantic.GoType != nil:
			return fieldError(field, "%s", expected(semantic.GoType))
		}
		return fieldError(field, "is not what is expected")
	case errors.As(err, &syntactic):
		field := pointer(syntactic.JSONPointer)
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return fieldError(field, "is there twice")
		}
		return fieldError(field, "is not well formed JSON near byte %d", syntactic.ByteOffset)
	}
	return fieldError("body", "is not well formed JSON")
}

// expected says in JSON's words what a value of Go's type is.
func expected(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[linkCost]() {
		return fmt.Sprintf("must be a whole number from 1 to %d", eventlog.MaxLinkCost)
	}
	if t == reflect.TypeFor[time.Time]() {
		return "must be a time such as 2026-11-22T03:00:00Z"
	}
	switch t.Kind() {
	case reflect.String:
		return "must be a string"
	case reflect.Bool:
		return "must be true or false"
	case reflect.Slice, reflect.Array:
		return "must be a list"
	case reflect.Struct, reflect.Map:
		return "must be a JSON object"
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "must be a whole number"
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return fmt.Sprintf("must be a whole number from 0 to %d", uint64(1)<<t.Bits()-1)
	}
	return "has the wrong type or is out of range"
}

// pointer turns /events/3/next_hop into events[3].next_hop.
func pointer(p jsontext.Pointer) string {
	var b strings.Builder
	for t := range p.Tokens() {
		if t != "" && strings.Trim(t, "0123456789") == "" && b.Len() > 0 {
			b.WriteString("[" + t + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(t)
	}
	if b.Len() == 0 {
		return "body"
	}
	return b.String()
}

// commitBody is the object of POST /v1/commits.
type commitBody struct {
	events     []eventlog.Event
	id, reason string
}

// decodeCommit walks the body once, without holding its values twice.
func decodeCommit(body []byte) (out commitBody, err error) {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	t, err := d.ReadToken()
	if err != nil {
		return out, jsonError(err)
	}
	if t.Kind() != '{' {
		return out, fieldError("body", "must be a JSON object")
	}
	decoder := eventlog.Decoder{AnyTags: true}
	found := false
	for d.PeekKind() == '"' {
		t, err := d.ReadToken()
		if err != nil {
			return out, jsonError(err)
		}
		switch name := t.String(); name {
		case "id", "reason":
			v, err := d.ReadToken()
			if err != nil {
				return out, jsonError(err)
			}
			if v.Kind() != '"' {
				return out, fieldError(name, "must be a string")
			}
			if name == "id" {
				if out.id = v.String(); out.id == "" {
					return out, fieldError("id", "must not be empty")
				}
			} else {
				out.reason = v.String()
			}
		case "events":
			found = true
			if t, err = d.ReadToken(); err != nil {
				return out, jsonError(err)
			}
			if t.Kind() != '[' {
				return out, fieldError("events", "must be a list")
			}
			for d.PeekKind() != ']' {
				at := fmt.Sprintf("events[%d]", len(out.events))
				v, err := d.ReadValue()
				if err != nil {
					return out, jsonError(err)
				}
				if v.Kind() != '{' {
					return out, fieldError(at, "must be a JSON object")
				}
				v = v.Clone()
				if err := v.Compact(); err != nil {
					return out, jsonError(err)
				}
				e, err := decoder.Event(v)
				if err != nil {
					return out, within(at, err)
				}
				out.events = append(out.events, e)
			}
			if _, err := d.ReadToken(); err != nil {
				return out, jsonError(err)
			}
		default:
			return out, fieldError(name, "is not a known member")
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return out, jsonError(err)
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return out, fieldError("body", "has more after the object's end")
	}
	if !found {
		return out, fieldError("events", "is missing")
	}
	return out, nil
}

// within puts where a value lies before the field that its error names.
func within(at string, err error) error {
	var f *eventlog.FieldError
	if !errors.As(err, &f) {
		return err
	}
	if f.Field == "" {
		return &eventlog.FieldError{Field: at, Reason: f.Reason}
	}
	return &eventlog.FieldError{Field: at + "." + f.Field, Reason: f.Reason}
}

// outOf takes where a value lies out of the field that an error names.
func outOf(at string, err error) error {
	var f *eventlog.FieldError
	if errors.As(err, &f) {
		return &eventlog.FieldError{Field: strings.TrimPrefix(f.Field, at+"."), Reason: f.Reason}
	}
	var u *service.UnsupportedError
	if errors.As(err, &u) {
		return &service.UnsupportedError{Field: strings.TrimPrefix(u.Field, at+".")}
	}
	return err
}

// candidatesBody is the object of PUT /routes/{destination} in its list form.
type candidatesBody struct {
	Router     *string          `json:"router"`
	Candidates []jsontext.Value `json:"candidates"`
}

// decodeCandidates reads PUT /routes/{destination}: one route as in POST, or
// {"router","candidates":[…]}, which listed says. Destination and router need
// not be repeated.
func decodeCandidates(body []byte, destination string) (router eventlog.RouterID, routes []*eventlog.RouteAnnounced, listed bool, err error) {
	flat, err := flatten(body)
	if err != nil {
		return "", nil, false, err
	}
	var members map[string]jsontext.Value
	if err := json.Unmarshal(flat, &members); err != nil {
		return "", nil, false, jsonError(err)
	}
	if _, ok := members["candidates"]; !ok {
		r, err := decodeCandidate(flat, destination, "")
		if err != nil {
			return "", nil, false, err
		}
		return r.Router, []*eventlog.RouteAnnounced{r}, false, nil
	}
	var b candidatesBody
	if err := decodeObject(flat, &b); err != nil {
		return "", nil, false, err
	}
	router = eventlog.AllRouters
	if b.Router != nil && *b.Router != string(eventlog.AllRouters) {
		if router, err = routerID("router", *b.Router); err != nil {
			return "", nil, false, err
		}
	}
	if len(b.Candidates) == 0 {
		return "", nil, false, fieldError("candidates", "must not be empty; DELETE withdraws a destination")
	}
	routes = make([]*eventlog.RouteAnnounced, 0, len(b.Candidates))
	for i, v := range b.Candidates {
		at := fmt.Sprintf("candidates[%d]", i)
		if v.Kind() != '{' {
			return "", nil, false, fieldError(at, "must be a JSON object")
		}
		r, err := decodeCandidate(v, destination, router)
		if err != nil {
			return "", nil, false, within(at, err)
		}
		routes = append(routes, r)
	}
	return router, routes, true, nil
}

func decodeCandidate(flat jsontext.Value, destination string, router eventlog.RouterID) (*eventlog.RouteAnnounced, error) {
	if err := noMember(flat, "kind"); err != nil {
		return nil, err
	}
	var given struct {
		Destination *string        `json:"destination"`
		Router      *string        `json:"router"`
		Rest        jsontext.Value `json:",unknown"`
	}
	if err := json.Unmarshal(flat, &given); err != nil {
		return nil, jsonError(err)
	}
	head := append([]byte(nil), kindMember...)
	if given.Destination == nil {
		head = append(append(append(head, `"destination":"`...), destination...), `",`...)
	}
	if given.Router == nil && router != "" && router != eventlog.AllRouters {
		head = append(append(append(head, `"router":"`...), router...), `",`...)
	}
	scratch := getBuffer()
	defer putBuffer(scratch)
	e, err := decodeAs(scratch, head, flat)
	if err != nil {
		return nil, err
	}
	r := e.(*eventlog.RouteAnnounced)
	if r.Destination.String() != destination {
		return nil, fieldError("destination", "is not that of the path, %s", destination)
	}
	if router != "" && r.Router != router {
		return nil, fieldError("router", "is not that of the request, %s", router)
	}
	return r, nil
}

// tagList is the tags in the order that the log keeps them in: theirs means nothing.
func tagList(tags []string) []string {
	out := slices.Clone(tags)
	slices.Sort(out)
	return out
}
