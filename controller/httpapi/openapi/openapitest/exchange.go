package openapitest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Exchange is a request and its answer, their bodies read and not encoded.
type Exchange struct {
	Method string
	URL    *url.URL
	Header http.Header // of the request
	Body   []byte

	Code   int
	Answer http.Header
	Got    []byte
}

// Check reports how an exchange is not as described. What an answer refused may
// have been anything; only how it is refused is looked at.
func (c *Contract) Check(e Exchange) error {
	if e.Method == http.MethodOptions {
		return nil
	}
	op := c.Find(e.Method, e.URL.EscapedPath())
	if op == nil {
		if e.Code < 400 {
			return fmt.Errorf("%s %s is not described, and answered with %d", e.Method, e.URL.Path, e.Code)
		}
		return nil
	}
	problems := []error{c.checkAnswer(op, e)}
	if e.Code/100 == 2 {
		problems = append(problems, c.checkRequest(op, e))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("%s (%s %s, %d): %w", op.ID, e.Method, e.URL, e.Code, err)
	}
	return nil
}

// checkRequest holds a request that was served to what is described.
func (c *Contract) checkRequest(op *Operation, e Exchange) error {
	described := map[string]Parameter{}
	for _, p := range op.Parameters {
		if p.In == "query" {
			described[p.Name] = p
		}
	}
	passedOn := strings.HasSuffix(op.Path, "/{path}") // to a node, which is the one to look at it
	for name, values := range e.URL.Query() {
		p, ok := described[name]
		if passedOn {
			continue
		}
		if !ok {
			return fmt.Errorf("the query parameter %s is served and not described", name)
		}
		if err := c.validateText(p.pointer, values[0]); err != nil {
			return fmt.Errorf("the query parameter %s=%q was served: %w", name, values[0], err)
		}
	}
	if len(e.Body) == 0 || passedOn {
		return nil
	}
	body, at, err := c.part(op.object, op.pointer, "requestBody")
	if err != nil {
		return fmt.Errorf("a body was served and none is described: %w", err)
	}
	return c.content(body, at, op.BodyType, e.Body)
}

// validateText holds a parameter's text to its schema, as a number or flag where it is one.
func (c *Contract) validateText(at, text string) error {
	err := c.validateValue(at, text)
	if err == nil {
		return nil
	}
	if b, no := strconv.ParseBool(text); no == nil && c.validateValue(at, b) == nil {
		return nil
	}
	if n, no := strconv.ParseInt(text, 10, 64); no == nil && c.validateValue(at, n) == nil {
		return nil
	}
	return err
}

// part is a member of an object, its reference followed, and where it is.
func (c *Contract) part(o map[string]any, at string, names ...string) (map[string]any, string, error) {
	for _, name := range names {
		inner, ok := o[name].(map[string]any)
		if !ok {
			return nil, "", fmt.Errorf("no %s at %s", name, at)
		}
		var err error
		if o, at, err = c.resolve(inner, at+pointer(name)); err != nil {
			return nil, "", err
		}
	}
	return o, at, nil
}

func (c *Contract) checkAnswer(op *Operation, e Exchange) error {
	code := strconv.Itoa(e.Code)
	if ranged := code[:1] + "XX"; op.responses[code] == nil && op.responses[ranged] != nil {
		code = ranged
	}
	if op.responses[code] == nil {
		if code = "default"; e.Code < 400 || op.responses[code] == nil {
			return errors.New("the code is not described")
		}
	}
	r, at, err := c.part(op.object, op.pointer, "responses", code)
	if err != nil {
		return err
	}
	if err := c.checkHeaders(r, at, e.Answer); err != nil {
		return err
	}
	kind := media(e.Answer.Get("Content-Type"))
	if e.Method == http.MethodHead || e.Code == http.StatusNotModified {
		return nil
	}
	contents, _ := r["content"].(map[string]any)
	if contents["*/*"] != nil {
		return nil // another's, passed on as it is
	}
	if contents == nil {
		if len(e.Got) > 0 {
			return fmt.Errorf("a body is described by nothing: %.80s", e.Got)
		}
		return nil
	}
	return c.content(r, at, kind, e.Got)
}

// checkHeaders looks at headers of ours: those that came are described and well formed.
func (c *Contract) checkHeaders(r map[string]any, at string, h http.Header) error {
	described, _ := r["headers"].(map[string]any)
	seen := map[string]bool{}
	for name := range described {
		canonical := http.CanonicalHeaderKey(name)
		seen[canonical] = true
		header, where, err := c.part(r, at, "headers", name)
		if err != nil {
			return err
		}
		v := h.Get(canonical)
		if v == "" && header["required"] == true {
			return fmt.Errorf("header %s is described as always there and missing", name)
		}
		if v != "" {
			if err := c.validateValue(where+"/schema", v); err != nil {
				return fmt.Errorf("header %s: %q: %w", name, v, err)
			}
		}
	}
	for name := range h {
		if name == "Dvr-Position" || !strings.HasPrefix(name, "Dvr-") && name != "Etag" {
			continue // the position is with every answer
		}
		if !seen[name] {
			return fmt.Errorf("header %s is not described", name)
		}
	}
	return nil
}

// content holds a body to the schema of its media type.
func (c *Contract) content(o map[string]any, at, kind string, body []byte) error {
	m, at, err := c.part(o, at, "content", kind)
	if err != nil {
		return fmt.Errorf("a body of type %q is not described: %w", kind, err)
	}
	switch kind {
	case "application/json", "application/problem+json":
		if err := c.validate(at+"/schema", body); err != nil {
			return fmt.Errorf("%w\nin %s", err, body)
		}
	case "application/x-ndjson":
		for line := range bytes.Lines(body) {
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			if err := c.validate(at+"/x-line-schema", line); err != nil {
				return fmt.Errorf("%w\nin %s", err, line)
			}
		}
	case "text/event-stream":
		return c.events(m, at, body)
	}
	return nil
}

// events holds each message of a stream to the schema of its name.
func (c *Contract) events(m map[string]any, at string, body []byte) error {
	schemas, _ := m["x-event-schemas"].(map[string]any)
	for message := range bytes.SplitSeq(body, []byte("\n\n")) {
		name, data := "", []byte(nil)
		for line := range bytes.SplitSeq(message, []byte("\n")) {
			if v, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
				name = string(v)
			} else if v, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
				data = v
			}
		}
		if data == nil {
			continue
		}
		if schemas[name] == nil {
			return fmt.Errorf("the event %q is not described", name)
		}
		if err := c.validate(at+pointer("x-event-schemas", name), data); err != nil {
			return fmt.Errorf("event %s: %w\nin %s", name, err, data)
		}
	}
	return nil
}
