// Package client calls the HTTP API of a node, or of the launcher. Its calls
// and types are generated from the API's description; what is in this file
// sends them. The standard library is all that it needs.
package client

//go:generate go run ../openapi/clientgen calls.go

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Client calls one node, or the launcher. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// New is a client of the API at base, such as http://127.0.0.1:9090, with the
// transport of h; nil: the default one. It repeats nothing: a change that is to
// be repeated safely has an IdempotencyKey.
func New(base string, h *http.Client) *Client {
	if h == nil {
		h = http.DefaultClient
	}
	return &Client{base: strings.TrimRight(base, "/"), http: h}
}

// Answer is a successful answer and what its headers say.
type Answer[T any] struct {
	Value T
	// Preview is what a dry run says; Value is empty then.
	Preview *Preview
	Status  int
	// Position is the log, epoch and revision that the answer is about.
	Position string
	ETag     string
	Cursor   string // where a list goes on; empty: it ended
	Stale    bool   // there is no quorum
	Replayed bool   // of an earlier request under the same key
}

// Error implements error: a Problem is what a call that was refused ends with,
// found by errors.As.
func (p *Problem) Error() string {
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}

// maxProblem bounds what is read of an error's answer.
const maxProblem = 1 << 20

// request is a call on its way.
type request struct {
	method, path string
	query        url.Values
	header       http.Header
	body         io.Reader
	err          error
}

func newRequest(method, path string) *request {
	return &request{method: method, path: path, query: url.Values{}, header: http.Header{}}
}

// segment is a value as one segment of a path.
func segment[T string | int64](v T) string { return url.PathEscape(fmt.Sprint(v)) }

// written is a parameter's text; empty: it is not sent.
func written(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		if v != 0 {
			return strconv.FormatInt(v, 10)
		}
	case bool:
		if v {
			return "true"
		}
	}
	return ""
}

func (r *request) set(name string, v any) {
	if text := written(v); text != "" {
		r.query.Set(name, text)
	}
}

func (r *request) head(name, v string) {
	if v != "" {
		r.header.Set(name, v)
	}
}

func (r *request) json(v any) {
	raw, err := json.Marshal(v)
	r.err = err
	r.stream("application/json", bytes.NewReader(raw))
}

func (r *request) stream(kind string, body io.Reader) {
	r.header.Set("Content-Type", kind)
	r.body = body
}

func (r *request) accept(kind string) { r.header.Set("Accept", kind) }

// start sends the request; the caller closes what it answers.
func (c *Client) start(ctx context.Context, r *request) (*http.Response, error) {
	if r.err != nil {
		return nil, r.err
	}
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, r.body)
	if err != nil {
		return nil, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 || resp.StatusCode == http.StatusNotModified {
		return resp, nil
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	p := &Problem{}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "application/problem+json" || json.Unmarshal(raw, p) != nil {
		p = &Problem{Title: resp.Status}
	}
	p.Status = int64(resp.StatusCode)
	return nil, fmt.Errorf("%s %s: %w", r.method, r.path, p)
}

func (c *Client) open(ctx context.Context, r *request) (io.ReadCloser, http.Header, error) {
	resp, err := c.start(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	return resp.Body, resp.Header, nil
}

func send[T any](ctx context.Context, c *Client, r *request) (*Answer[T], error) {
	resp, err := c.start(ctx, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	h := resp.Header
	a := &Answer[T]{
		Status: resp.StatusCode, Position: h.Get("DVR-Position"), ETag: h.Get("ETag"), Cursor: h.Get("DVR-Next-Cursor"),
		Stale: h.Get("DVR-Stale") == "true", Replayed: h.Get("DVR-Replayed") == "true",
	}
	if resp.StatusCode == http.StatusNotModified {
		return a, nil
	}
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	into := any(&a.Value)
	if r.query.Get("dry_run") == "true" {
		a.Preview = &Preview{}
		into = a.Preview
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	return a, nil
}
