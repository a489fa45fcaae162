package robustness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Actor is who the campaign's changes are made by.
const Actor = "robustness"

// Client asks nodes over HTTP and says what each answer means. It is safe for
// concurrent use.
type Client struct {
	http     *http.Client
	recorder *Recorder
	patience time.Duration // of the node; the client waits half as long again
}

// NewClient makes a client whose connections dial makes. patience is the
// timeout that nodes are told.
func NewClient(r *Recorder, patience time.Duration, dial func(ctx context.Context, network, address string) (net.Conn, error)) *Client {
	return &Client{
		http: &http.Client{
			Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 64, DisableCompression: true},
			// What is told is judged, not where it sends.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		recorder: r, patience: patience,
	}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Make performs a call at the node whose API is at address, and records it.
func (c *Client) Make(ctx context.Context, address string, k *Call) {
	ctx, cancel := context.WithTimeout(ctx, c.patience+c.patience/2)
	defer cancel()
	req, err := c.request(ctx, address, k)
	if err != nil {
		k.Outcome, k.Detail = Wrong, err.Error()
		return
	}
	// The transport sends what has an idempotency key and no body again by itself
	// when a connection breaks: an error of the last attempt is not one of all.
	var connected atomic.Bool
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}))
	c.recorder.Begin(k)
	defer c.recorder.End(k)
	c.send(req, k, &connected)
}

// send performs the request of k. connected says whether it may have been sent.
func (c *Client) send(req *http.Request, k *Call, connected *atomic.Bool) {
	resp, err := c.http.Do(req)
	if err != nil {
		k.Detail = err.Error()
		if k.Kind == Get || !connected.Load() {
			k.Outcome = Refused
		}
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		k.Detail = err.Error()
		if k.Kind == Get {
			k.Outcome = Refused
		}
		return
	}
	interpret(k, resp, body)
}

func (c *Client) request(ctx context.Context, address string, k *Call) (*http.Request, error) {
	q := url.Values{"timeout": {c.patience.String()}}
	method, path := http.MethodGet, "/routes/"+k.Name
	var body any
	if k.Space == Keys {
		path = "/kv/" + url.PathEscape(k.Name)
	}
	switch k.Kind {
	case Get:
		switch {
		case k.Local:
			q.Set("consistency", "local")
		case !k.Default:
			q.Set("consistency", "linearizable")
		}
	case Remove:
		method = http.MethodDelete
	default:
		switch {
		case k.Space == Keys:
			method, body = http.MethodPut, map[string]string{"value": strconv.FormatUint(k.Value, 10)}
		case k.Kind == Set:
			method, path = http.MethodPost, "/routes"
			body = map[string]any{"destination": k.Name, "next_hop": k.Slot, "metric": k.Value}
		default:
			method = http.MethodPut
			body = map[string]any{"next_hop": k.Slot, "metric": k.Value}
		}
	}
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address+path+"?"+q.Encode(), reader)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if k.write() {
		req.Header.Set("X-DVR-Actor", Actor)
		if k.ID != "" {
			once(req, k.ID)
		}
		if k.IfMatch != 0 {
			req.Header.Set("If-Match", fmt.Sprintf(`"1-%d"`, k.IfMatch))
		}
		if k.IfAbsent {
			req.Header.Set("If-None-Match", "*")
		}
	}
	return req, nil
}

// once names a request by its key. In lower case, or Go's transport takes it for
// leave to send the request again by itself where a connection breaks: the answer
// to the second attempt would hide what became of the first.
func once(req *http.Request, key string) { req.Header["idempotency-key"] = []string{key} }

// answer is what answers of every kind have of interest.
type answer struct {
	Revision   uint64 `json:"revision"`
	Existed    *bool  `json:"existed"`
	Value      string `json:"value"`
	Stale      bool   `json:"stale"`
	Error      string `json:"error"`
	Candidates []struct {
		Router  string `json:"router"`
		NextHop string `json:"next_hop"`
		Metric  uint64 `json:"metric"`
	} `json:"candidates"`
}

// interpret says what an answer means: see docs/decisions/0005-http-api.md.
func interpret(k *Call, resp *http.Response, body []byte) {
	k.Status = resp.StatusCode
	wrong := func(format string, args ...any) {
		k.Outcome, k.Detail = Wrong, fmt.Sprintf(format, args...)+": "+strings.TrimSpace(string(body))
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		wrong("%v", err)
		return
	}
	k.Detail, k.Stale = a.Error, a.Stale || resp.Header.Get("DVR-Stale") == "true"
	k.Replayed = resp.Header.Get("DVR-Replayed") == "true"
	if position := strings.Split(resp.Header.Get("DVR-Position"), "/"); len(position) == 3 {
		k.Epoch, _ = strconv.ParseUint(position[1], 10, 64)
		k.Revision, _ = strconv.ParseUint(position[2], 10, 64)
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated:
		k.Outcome = Done
		if k.write() {
			k.Revision = a.Revision
			k.Absent = a.Existed != nil && !*a.Existed
		} else if err := k.shown(&a, resp.Header.Get("ETag")); err != nil {
			wrong("%v", err)
			return
		}
		if k.Revision == 0 {
			wrong("no revision")
		}
	case http.StatusNotFound:
		switch {
		case k.Kind == Get && k.Stale && !k.Local:
			wrong("404 for what may be there")
		case k.Kind == Get && k.Revision != 0:
			k.Outcome, k.Absent, k.Detail = Done, true, ""
		case k.Kind == Remove && k.Space == Routes:
			k.Outcome, k.Absent = Failed, true
		default:
			wrong("404")
		}
	case http.StatusPreconditionFailed:
		k.Outcome = Failed
		if k.IfMatch == 0 && !k.IfAbsent {
			wrong("412 without a precondition")
		}
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		k.Outcome = Refused
		if resp.Header.Get("Retry-After") == "" {
			wrong("%d without Retry-After", resp.StatusCode)
		}
	case http.StatusGatewayTimeout:
		if k.Kind == Get {
			k.Outcome = Refused
		}
	default:
		wrong("status %d", resp.StatusCode)
	}
}

// shown takes what a read showed.
func (c *Call) shown(a *answer, etag string) error {
	if c.Space == Keys {
		v, err := strconv.ParseUint(a.Value, 10, 64)
		if err != nil {
			return fmt.Errorf("a value that nobody set: %w", err)
		}
		c.Content = contentOf(map[string]uint64{"": v})
	} else {
		slots := map[string]uint64{}
		for _, k := range a.Candidates {
			slots[k.NextHop] = k.Metric
		}
		if len(slots) != len(a.Candidates) || len(slots) == 0 {
			return fmt.Errorf("%d candidates with %d next hops", len(a.Candidates), len(slots))
		}
		c.Content = contentOf(slots)
	}
	parts := strings.Split(strings.Trim(etag, `"`), "-")
	if len(parts) < 2 {
		return fmt.Errorf("ETag %s", etag)
	}
	var err error
	c.Version, err = strconv.ParseUint(parts[1], 10, 64)
	return err
}
