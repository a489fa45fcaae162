package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"dvr/controller/certs"
)

// Errors that a call can end with, besides *Problem.
var (
	// ErrUnreachable: no endpoint answered before the context ended.
	ErrUnreachable = errors.New("no endpoint answered")
	// ErrOtherService: what listens at the endpoint speaks gRPC, not the API.
	ErrOtherService = errors.New("this port is not the API")
	// ErrBadEndpoint: an endpoint is not host:port or an http(s) URL.
	ErrBadEndpoint = errors.New("endpoint")
)

// Problem is an error answer of the API (RFC 9457).
type Problem struct {
	Type     string `json:"type"` // "/problems/" and a word for its kind
	Status   int    `json:"status"`
	Title    string `json:"title"`
	Detail   string `json:"detail"`
	Field    string `json:"field"`
	ID       string `json:"id"`
	Endpoint string `json:"-"`
	// Doubt is set where an earlier attempt of the call may have been carried
	// out: the refusal may be of what it did.
	Doubt bool `json:"-"`
	// Body is the whole answer: some problems have members of their own.
	Body json.RawMessage `json:"-"`
}

func (p *Problem) Error() string {
	switch {
	case p.Detail != "":
		return p.Detail
	case p.Title != "":
		return p.Title
	}
	return http.StatusText(p.Status)
}

// DefaultPort is the API's, where an endpoint that is no URL names none.
const DefaultPort = "9090"

// dialTimeout bounds a connection's start, so that an address behind which
// nothing answers does not use up a long call's time.
const dialTimeout = 5 * time.Second

// attemptTime is the least that one endpoint gets before the next one is asked.
const attemptTime = 2 * time.Second

// Client calls a cluster. It is safe for concurrent use.
type Client struct {
	endpoints []string
	http      *http.Client
	actor     string
	preferred atomic.Int32 // endpoint that answered last
	// pause before an endpoint that failed is asked again, and the least time of
	// an attempt; tests shorten them.
	pause, attempt time.Duration
	// Token, if set before the first call, is sent with each: a token of the
	// cluster, or a JWT of its identity provider.
	Token string
	// Patience, if set before the first call, is how long a call is repeated while
	// it could be sent to none of several endpoints, as nothing listens there; 0:
	// until its context ends. Of one endpoint that is found at once.
	Patience time.Duration
	// Waiting, if set before the first call, is told once per call that is still
	// being repeated after a second why, and until when it may be (zero: no end).
	// The goroutine that calls calls it.
	Waiting func(why error, until time.Time)
	// Follows, if set before the first call, is told by Events when its stream has
	// been opened, also anew, and when it has broken. The goroutine of Events calls it.
	Follows func(open bool)
}

// quietTime is how long a call is repeated before Waiting is told.
const quietTime = time.Second

// New is a client of the nodes at endpoints (host[:port] or URL, at least one).
// actor, if not empty, is sent as X-DVR-Actor.
func New(endpoints []string, actor string) (*Client, error) {
	return NewSecure(endpoints, actor, nil)
}

// NewSecure is New with the credentials that are shown at https:// endpoints,
// which host:port means then, and that say whom to trust. nil: none are shown,
// the system's authorities are trusted, and host:port means clear text.
func NewSecure(endpoints []string, actor string, credentials *certs.Credentials) (*Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	if credentials != nil {
		dial := credentials.Dial(dialTimeout, certs.Node)
		transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			return c, unconnected(err)
		}
		transport.ForceAttemptHTTP2 = false
	}
	c := &Client{http: &http.Client{Transport: transport}, actor: actor, pause: 200 * time.Millisecond, attempt: attemptTime}
	for _, e := range endpoints {
		if e = strings.TrimSpace(e); e == "" {
			continue
		}
		if a, err := netip.ParseAddr(e); err == nil && a.Is6() {
			e = "[" + e + "]"
		}
		if strings.HasPrefix(e, ":") {
			e = "127.0.0.1" + e
		}
		given := strings.Contains(e, "://") // a URL means its scheme's port
		if !given {
			e = credentials.Scheme() + "://" + e
		}
		u, err := url.Parse(e)
		if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
			return nil, fmt.Errorf("%w %q: want host:port or a URL", ErrBadEndpoint, e)
		}
		if u.Port() == "" && !given {
			u.Host = net.JoinHostPort(u.Hostname(), DefaultPort)
		}
		e = u.Scheme + "://" + u.Host
		c.endpoints = append(c.endpoints, e)
	}
	if len(c.endpoints) == 0 {
		return nil, fmt.Errorf("%w: none given", ErrBadEndpoint)
	}
	return c, nil
}

// Call is one request. A mutation without IdempotencyKey gets one, so that a
// retry at another node cannot apply it twice.
type Call struct {
	Method, Path   string
	Query          url.Values
	Header         http.Header
	Body           []byte
	IdempotencyKey string
}

// Answer is a 2xx or 304 answer, its body open when Stream was used.
type Answer struct {
	Status   int
	Header   http.Header
	Body     []byte
	Endpoint string
}

// Do sends the call until a node gives an answer that is not "try elsewhere"
// (no connection, 429, 503, 504) or ctx ends. An endpoint that is silent gets
// its share of the time that is left (where the query has a timeout, as long as it
// answers /livez), one that says Retry-After is left alone
// until then. out, if not nil, receives the JSON body, numbers of an `any` as
// json.Number. Errors: *Problem, ErrUnreachable.
func (c *Client) Do(ctx context.Context, call Call, out any) (*Answer, error) {
	resp, endpoint, err := c.send(ctx, call)
	if err != nil {
		return nil, err
	}
	return finish(resp, endpoint, out)
}

// finish reads a good answer to its end.
func finish(resp *http.Response, endpoint string, out any) (*Answer, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: read answer of %s: %w", ErrUnreachable, endpoint, err)
	}
	if out != nil && len(body) > 0 {
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if err := d.Decode(out); err != nil {
			return nil, fmt.Errorf("answer of %s is not what was expected: %w", endpoint, err)
		}
	}
	return &Answer{resp.StatusCode, resp.Header, body, endpoint}, nil
}

// Stream is Do for answers that are read as they come; the caller closes the body.
func (c *Client) Stream(ctx context.Context, call Call) (io.ReadCloser, http.Header, error) {
	resp, _, err := c.send(ctx, call)
	if err != nil {
		return nil, nil, err
	}
	return resp.Body, resp.Header, nil
}

// elsewhere says that another node may answer what this one did not.
func elsewhere(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

func (c *Client) send(ctx context.Context, call Call) (*http.Response, string, error) {
	if call.Method != http.MethodGet && call.Method != http.MethodHead && call.IdempotencyKey == "" {
		call.IdempotencyKey = NewKey()
	}
	var last error
	began := time.Now()
	failed := make([]error, len(c.endpoints)) // how an endpoint could not be connected to last
	reached := false                          // one could be
	doubt := false                            // an attempt reached a node, and what came of it is not known
	tell := time.Now().Add(quietTime)         // when Waiting is told
	told := c.Waiting == nil
	ready := make([]time.Time, len(c.endpoints)) // when an endpoint may be asked again
	for round := 0; ; round++ {
		first := int(c.preferred.Load())
		for i := range c.endpoints {
			n := (first + i) % len(c.endpoints)
			endpoint := c.endpoints[n]
			if time.Now().Before(ready[n]) {
				continue
			}
			resp, err := c.try(ctx, endpoint, call, c.share(ctx, len(c.endpoints)-i))
			if err != nil {
				// What a node answered before says more than that another one is not
				// there; but what became of a change that was sent only its last
				// attempt tells.
				var answered *Problem
				if !errors.As(last, &answered) || (call.Method != http.MethodGet && !Unsent(err)) {
					last = err
				}
				// An attempt to read that the end of the call cut short tells less than the
				// one before it.
				if failed[n] == nil || ctx.Err() == nil || call.Method != http.MethodGet {
					failed[n] = err
					reached = reached || !Unsent(err)
				}
				doubt = doubt || !Unsent(err)
				ready[n] = time.Now().Add(c.pause)
				continue
			}
			if resp.StatusCode < 400 {
				c.preferred.Store(int32(n))
				return resp, endpoint, nil
			}
			last, reached = refusal(resp, endpoint, doubt), true
			if !elsewhere(resp.StatusCode) {
				return nil, endpoint, last
			}
			doubt = doubt || resp.StatusCode != http.StatusTooManyRequests
			ready[n] = time.Now().Add(max(c.pause, retryAfter(resp)))
		}
		var p *Problem
		if round >= 1 && len(c.endpoints) == 1 && !errors.As(last, &p) {
			// Nothing listens there: say so at once instead of waiting for the deadline.
			return nil, "", fmt.Errorf("%w: %w", ErrUnreachable, last)
		}
		hopeless := !reached && c.Patience > 0 // as nobody is there
		if hopeless && round >= 1 && time.Since(began) >= c.Patience {
			return nil, "", unreachable(c.endpoints, failed)
		}
		next := slices.MinFunc(ready, time.Time.Compare)
		over := ctx.Err() != nil
		if deadline, ok := ctx.Deadline(); !over && (!ok || next.Before(deadline)) {
			if !told && !hopeless && !time.Now().Before(tell) {
				told = true
				c.Waiting(last, deadline)
			}
			if !told && !hopeless && tell.Before(next) {
				next = tell
			}
			select {
			case <-ctx.Done():
				over = true
			case <-time.After(time.Until(next)):
			}
		} else {
			over = true // waiting longer cannot help
		}
		if over {
			if errors.As(last, &p) {
				return nil, "", last
			}
			if !reached {
				return nil, "", unreachable(c.endpoints, failed)
			}
			return nil, "", fmt.Errorf("%w: %w", ErrUnreachable, last)
		}
	}
}

// unreachable is ErrUnreachable with what failed at each endpoint that was asked.
func unreachable(endpoints []string, failed []error) error {
	var all []error
	text := ""
	for i, err := range failed {
		if err == nil {
			continue
		}
		all = append(all, err)
		var sent *url.Error // names the whole request
		if errors.As(err, &sent) {
			err = sent.Err
		}
		why := err.Error()
		if errors.Is(err, syscall.ECONNREFUSED) {
			why = "connection refused"
		}
		text += fmt.Sprintf("; %s: %s", endpoints[i], strings.TrimPrefix(why, endpoints[i]+": "))
	}
	return &unanswered{strings.TrimPrefix(text, "; "), append(all, ErrUnreachable)}
}

// unanswered is an error of several endpoints at once.
type unanswered struct {
	text   string
	causes []error
}

func (e *unanswered) Error() string   { return ErrUnreachable.Error() + ": " + e.text }
func (e *unanswered) Unwrap() []error { return e.causes }

// share is the time of an attempt when so many endpoints are left to be asked:
// an equal part of what remains, attempt at least. 0: as long as the call has.
func (c *Client) share(ctx context.Context, left int) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok || left <= 1 {
		return 0
	}
	return max(time.Until(deadline)/time.Duration(left), c.attempt)
}

// errSilent: an endpoint took the call and did not begin to answer in its share
// of the time.
var errSilent = errors.New("no answer in time")

// foreign says that what answered speaks no HTTP/1; net/http has only texts for
// it, the second where the other side greets before it is asked.
func foreign(err error) bool {
	text := err.Error()
	return strings.Contains(text, "malformed HTTP response") || strings.Contains(text, "readLoopPeekFailLocked: %!w(<nil>)")
}

// Unsent says that a call which failed so never reached a node: nothing can have
// come of it.
func Unsent(err error) bool {
	var op *net.OpError
	return errors.Is(err, ErrOtherService) || errors.As(err, &op) && (op.Op == "dial" || op.Op == refusedTLS)
}

// refusedTLS is what the error of a connection says whose other side did not
// accept the certificate: it has read nothing of the call.
const refusedTLS = "remote error"

// unconnected marks a failure to connect: nothing was sent.
func unconnected(err error) error {
	var op *net.OpError
	if err == nil || errors.As(err, &op) {
		return err
	}
	return &net.OpError{Op: "dial", Net: "tcp", Err: err}
}

// try asks one endpoint, which must begin to answer within limit (0: none). One
// that was told how long it may take, and lives, has as long.
func (c *Client) try(ctx context.Context, endpoint string, call Call, limit time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var decided atomic.Bool // that it has answered, or that it is silent
	if limit > 0 {
		began := make(chan struct{})
		defer close(began)
		patient, probe := call.Query.Has("timeout"), time.Duration(0)
		if patient {
			probe = min(limit/4, c.attempt) // within its share
		}
		timer := time.AfterFunc(limit-probe, func() {
			for patient && c.lives(ctx, endpoint, probe) {
				select {
				case <-began:
					return
				case <-ctx.Done():
					return
				case <-time.After(c.attempt):
				}
			}
			if decided.CompareAndSwap(false, true) {
				cancel(fmt.Errorf("%s: %w", endpoint, errSilent))
			}
		})
		defer timer.Stop()
	}
	req, err := c.request(ctx, endpoint, call, bytes.NewReader(call.Body))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err == nil && !decided.CompareAndSwap(false, true) {
		resp.Body.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
			err = cause
		}
		if foreign(err) {
			err = fmt.Errorf("%s: %w: it looks like the data planes' port (gRPC); the API is usually 100 below", endpoint, ErrOtherService)
		}
		cancel(nil)
		return nil, err
	}
	resp.Body = &answerBody{resp.Body, func() { cancel(nil) }}
	return resp, nil
}

// lives asks whether an endpoint answers at all, within limit.
func (c *Client) lives(ctx context.Context, endpoint string, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/livez", nil)
	if err != nil {
		return false
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// answerBody ends its request's context when it is closed.
type answerBody struct {
	io.ReadCloser
	end func()
}

func (b *answerBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

func (c *Client) request(ctx context.Context, endpoint string, call Call, body io.Reader) (*http.Request, error) {
	target := endpoint + call.Path
	if len(call.Query) > 0 {
		target += "?" + call.Query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, call.Method, target, body)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	for k, v := range call.Header {
		req.Header[k] = v
	}
	if len(call.Body) > 0 && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if call.IdempotencyKey != "" {
		// In lower case, or Go's transport takes it for leave to send the request again
		// by itself where a connection breaks, and its error tells of the second
		// attempt alone: that nobody listens any more, of a change that was sent.
		req.Header["idempotency-key"] = []string{call.IdempotencyKey}
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if c.actor != "" {
		req.Header.Set("X-DVR-Actor", c.actor)
	}
	return req, nil
}

// retryAfter is what the answer says in seconds; dates are not used by the API.
func retryAfter(resp *http.Response) time.Duration {
	seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// refusal reads an answer of 400 or more and closes it.
func refusal(resp *http.Response, endpoint string, doubt bool) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what came says enough
	resp.Body.Close()
	p := &Problem{Status: resp.StatusCode, Endpoint: endpoint, Doubt: doubt, Body: body}
	if json.Unmarshal(body, p) != nil || p.Title+p.Detail == "" {
		p.Detail = strings.TrimSpace(strconv.Itoa(resp.StatusCode)+" "+http.StatusText(resp.StatusCode)+" from "+endpoint) + failing(body)
	}
	p.Status = resp.StatusCode
	return p
}

// failing are the checks of /readyz that are not ok, which is no problem in the
// form of the API's others: probes look at its code alone.
func failing(body []byte) string {
	var ready struct{ Checks map[string]string }
	if json.Unmarshal(body, &ready) != nil {
		return ""
	}
	said := ""
	for _, check := range slices.Sorted(maps.Keys(ready.Checks)) {
		if ready.Checks[check] != "ok" {
			said += "; " + check + ": " + ready.Checks[check]
		}
	}
	return said
}

// NewKey is a fresh idempotency key.
func NewKey() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand since Go 1.24)
	return hex.EncodeToString(b[:])
}
