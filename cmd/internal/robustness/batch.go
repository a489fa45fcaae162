package robustness

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
)

// A commit of several events is a call for each of its items, which share
// Batch, id and outcome: each is in its item's history, and all of them are in
// the log at one revision or none is.

// MakeBatch performs the calls, which all set and are about different items, as
// one commit at the node whose API is at address, and records them.
func (c *Client) MakeBatch(ctx context.Context, address string, parts []*Call) {
	ctx, cancel := context.WithTimeout(ctx, c.patience+c.patience/2)
	defer cancel()
	first := parts[0]
	req, err := c.batchRequest(ctx, address, parts)
	if err != nil {
		first.Outcome, first.Detail = Wrong, err.Error()
		c.recorder.Begin(first)
		return
	}
	var connected atomic.Bool
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}))
	for _, k := range parts {
		c.recorder.Begin(k)
	}
	defer func() {
		for _, k := range parts[1:] {
			k.Outcome, k.Status, k.Revision, k.Epoch, k.Replayed, k.Detail = first.Outcome, first.Status, first.Revision, first.Epoch, first.Replayed, first.Detail
		}
		for _, k := range parts {
			c.recorder.End(k)
		}
	}()
	c.send(req, first, &connected)
}

func (c *Client) batchRequest(ctx context.Context, address string, parts []*Call) (*http.Request, error) {
	var events []map[string]any
	for _, k := range parts {
		if k.Space == Keys {
			events = append(events, map[string]any{"kind": "key.put", "key": k.Name, "value": strconv.FormatUint(k.Value, 10)})
		} else {
			events = append(events, map[string]any{"kind": "route.announced", "destination": k.Name, "next_hop": k.Slot, "metric": k.Value})
		}
	}
	raw, err := json.Marshal(map[string]any{"events": events})
	if err != nil {
		return nil, err
	}
	q := url.Values{"timeout": {c.patience.String()}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/commits?"+q.Encode(), bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-DVR-Actor", Actor)
	if id := parts[0].ID; id != "" {
		once(req, id)
	}
	return req, nil
}

// atomic checks that of each commit of several items all is in the log, at one
// revision, or nothing.
func (k *callCheck) atomic(calls []*Call) {
	type commit struct {
		at    map[uint64]int // revision, 0 where a part is missing → parts
		first *Call
	}
	batches := map[int]*commit{}
	for _, c := range calls {
		if c.Batch == 0 {
			continue
		}
		b := batches[c.Batch]
		if b == nil {
			b = &commit{map[uint64]int{}, c}
			batches[c.Batch] = b
		}
		b.at[k.byValue[strconv.FormatUint(c.Value, 10)]]++
	}
	for _, b := range batches {
		if len(b.at) > 1 {
			k.v.Addf("atomic", "the items of one commit are at revisions %v (0: nowhere): %s", b.at, b.first)
		}
	}
}
