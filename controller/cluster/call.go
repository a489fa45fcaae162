package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"dvr/eventlog"
)

// slugs are the problem types under which the API answers with errors of this
// package.
var slugs = []struct {
	slug string
	err  error
}{
	{"too-many-voters", ErrFull},
	{"member-exists", ErrExists},
	{"would-lose-quorum", ErrQuorum},
	{"not-ready", ErrNotReady},
	{"joining", ErrBusy},
	{"role", ErrRole},
	{"no-such-member", ErrNotFound},
}

// Slug names the problem type of an error of this package; empty for others.
func Slug(err error) string {
	for _, s := range slugs {
		if errors.Is(err, s.err) {
			return s.slug
		}
	}
	return ""
}

// answerError is an error answer of another node's API.
type answerError struct {
	status int
	detail string
	kind   error
}

func (e *answerError) Error() string { return e.detail }

// Unwrap gives the sentinel.
func (e *answerError) Unwrap() error { return e.kind }

type credentialKey struct{}

// WithCredential makes the calls of other nodes under ctx those of its holder.
func WithCredential(ctx context.Context, credential string) context.Context {
	return context.WithValue(ctx, credentialKey{}, credential)
}

// call does one call of a node's API. Errors: those that the API's problem
// names; eventlog.ErrUnavailable for whatever may be tried again.
func call(ctx context.Context, client *httpClient, method, address, path string, body, out any) error {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, client.url(address, path), reader)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if credential, _ := ctx.Value(credentialKey{}).(string); credential != "" {
		req.Header.Set("Authorization", "Bearer "+credential)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", address, eventlog.ErrUnavailable, plain(err))
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: %w: %w", address, eventlog.ErrUnavailable, plain(err))
	}
	if resp.StatusCode/100 == 2 {
		if out != nil {
			if err := json.Unmarshal(raw, out); err != nil {
				return fmt.Errorf("%s: %w: %w", address, errStranger, err)
			}
		}
		return nil
	}
	var problem struct{ Type, Detail string }
	_ = json.Unmarshal(raw, &problem) // what is no problem says what its status says
	e := &answerError{status: resp.StatusCode, detail: problem.Detail}
	if e.detail == "" {
		e.detail = fmt.Sprintf("%s: %s %s: %s", address, method, path, resp.Status)
	}
	slug := strings.TrimPrefix(problem.Type, "/problems/")
	for _, s := range slugs {
		if s.slug == slug {
			e.kind = s.err
		}
	}
	if e.kind == nil && resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		e.kind = eventlog.ErrUnavailable // a node that starts, or an older one
	}
	return e
}
