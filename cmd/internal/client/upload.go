package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// errEnded: an upload was given up while its body was still being sent.
var errEnded = errors.New("the upload was given up")

// Upload sends a body of unknown length, to the endpoint that answered last
// first. Where body is an io.Seeker that can seek, it is sent to the next
// endpoint, from where it began, when one fails or says "try elsewhere"; each
// endpoint is asked once. Else the caller resumes under the same key.
// Errors: *Problem, ErrUnreachable.
func (c *Client) Upload(ctx context.Context, call Call, body io.Reader, out any) (*Answer, error) {
	first := int(c.preferred.Load())
	seeker, _ := body.(io.Seeker)
	var begin int64
	if seeker != nil {
		var err error
		if begin, err = seeker.Seek(0, io.SeekCurrent); err != nil {
			seeker = nil // a pipe
		}
	}
	var last error
	var sent *attemptBody
	for i := range c.endpoints {
		n := (first + i) % len(c.endpoints)
		if i > 0 {
			if seeker == nil || ctx.Err() != nil {
				break
			}
			sent.wait()
			if _, err := seeker.Seek(begin, io.SeekStart); err != nil {
				return nil, errors.Join(fmt.Errorf("upload: %w", err), last)
			}
		}
		sent = &attemptBody{r: body}
		answer, again, err := c.upload(ctx, c.endpoints[n], call, sent, out)
		if err == nil {
			c.preferred.Store(int32(n))
			return answer, nil
		}
		last = err
		if !again {
			break
		}
	}
	return nil, last
}

// upload is one attempt; again says that another endpoint may take it.
func (c *Client) upload(ctx context.Context, endpoint string, call Call, sent *attemptBody, out any) (answer *Answer, again bool, err error) {
	defer sent.Close() // the transport may read on after it gave up
	req, err := c.request(ctx, endpoint, call, sent)
	if err != nil {
		return nil, false, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, true, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if resp.StatusCode >= 400 {
		return nil, elsewhere(resp.StatusCode), refusal(resp, endpoint, false)
	}
	answer, err = finish(resp, endpoint, out)
	return answer, errors.Is(err, ErrUnreachable), err
}

// attemptBody is a body until its attempt ends: no read of an old attempt
// takes bytes from a newer one.
type attemptBody struct {
	r     io.Reader
	mu    sync.Mutex // held while r is read
	ended atomic.Bool
}

func (b *attemptBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended.Load() {
		return 0, errEnded
	}
	return b.r.Read(p)
}

// Close never waits: a read of a pipe may be under way for ever.
func (b *attemptBody) Close() error {
	b.ended.Store(true)
	return nil
}

// wait returns when no read is under way; after Close there is none any more.
func (b *attemptBody) wait() {
	b.mu.Lock()
	defer b.mu.Unlock()
}
