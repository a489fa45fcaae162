package robustness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Importer is who imports are made by: their commits are not those of calls.
const Importer = "robustness-import"

// importLines is more than one commit of an import holds.
const importLines = 1200

// Import is a call of POST /v1/routes/import, repeated under its key until it is
// answered. Line i sets destination i to the value First+i.
type Import struct {
	Key   string
	First uint64
	Lines int
	// Done: it was acknowledged, the last line at the revision Last at most.
	Done bool
	Last uint64
}

// Imports is a caller that imports one table after the other.
type Imports struct {
	Client *Client
	Nodes  func() []Node
	Seed   uint64
	Every  time.Duration

	mu   sync.Mutex
	list []*Import
}

// List is every import that has begun.
func (m *Imports) List() []*Import {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]*Import(nil), m.list...)
}

// Run imports until ctx ends.
func (m *Imports) Run(ctx context.Context, v *Violations) {
	rng := rand.New(rand.NewPCG(m.Seed, 1<<33))
	t := time.NewTicker(m.Every)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		i := &Import{Key: fmt.Sprintf("%x-table-%d", m.Seed, n), Lines: importLines}
		i.First = m.Client.recorder.values.Add(importLines) - importLines + 1
		m.mu.Lock()
		m.list = append(m.list, i)
		m.mu.Unlock()
		for range 4 {
			nodes := m.Nodes()
			if len(nodes) == 0 || ctx.Err() != nil || i.Done {
				break
			}
			m.Client.attempt(context.WithoutCancel(ctx), nodes[rng.IntN(len(nodes))], i, v)
		}
	}
}

// importDestination is that of line i of every import.
func importDestination(i int) string { return fmt.Sprintf("10.240.%d.%d/32", i>>8, i&255) }

// attempt imports at one node.
func (c *Client) attempt(ctx context.Context, n Node, i *Import, v *Violations) {
	patience := 3 * c.patience
	ctx, cancel := context.WithTimeout(ctx, patience+c.patience)
	defer cancel()
	var lines bytes.Buffer
	for k := range i.Lines {
		fmt.Fprintf(&lines, "{\"destination\":%q,\"next_hop\":\"192.0.2.1\",\"metric\":%d}\n", importDestination(k), i.First+uint64(k))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+n.API+"/v1/routes/import?timeout="+patience.String(), &lines)
	if err != nil {
		v.Addf("answer", "%v", err)
		return
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("X-DVR-Actor", Importer)
	once(req, i.Key)
	resp, err := c.http.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return
	}
	var got struct {
		Accepted int    `json:"accepted"`
		Last     uint64 `json:"last_revision"`
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if err := json.Unmarshal(raw, &got); err != nil || got.Accepted != i.Lines || got.Last == 0 {
			v.Addf("answer", "import %s at %s: %s", i.Key, n.Name, raw)
			return
		}
		i.Done, i.Last = true, got.Last
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		if resp.Header.Get("Retry-After") == "" {
			v.Addf("answer", "import %s at %s: %d without Retry-After", i.Key, n.Name, resp.StatusCode)
		}
	case http.StatusGatewayTimeout:
	default:
		v.Addf("answer", "import %s at %s: %d %s", i.Key, n.Name, resp.StatusCode, raw)
	}
}

// CheckImports holds imports against the log: every line of one that was
// acknowledged is there, in its place and once, however often it was repeated;
// of any other nothing that was not asked, and nothing twice.
func CheckImports(imports []*Import, log []Entry, v *Violations) (done int) {
	at := map[uint64]uint64{} // value → revision
	ids := map[string]uint64{}
	by := map[string]*Import{}
	for _, i := range imports {
		by[i.Key] = i
	}
	for k := range log {
		e := &log[k]
		if e.Actor != Importer {
			continue
		}
		if first, ok := ids[e.ID]; ok {
			v.Addf("once", "import commit %s is in the log twice, at %d and %d", e.ID, first, e.Revision)
		}
		ids[e.ID] = e.Revision
		key, part, _ := strings.Cut(e.ID, "/")
		i := by[key]
		if _, err := strconv.Atoi(part); err != nil || i == nil {
			v.Addf("asked", "revision %d, import commit %s, is what nobody asked for", e.Revision, e.ID)
			continue
		}
		for _, ev := range e.Events {
			line := int(ev.Metric - i.First)
			if ev.Metric < i.First || line >= i.Lines || ev.Kind != "route.announced" || ev.Destination != importDestination(line) {
				v.Addf("asked", "revision %d, import commit %s: %+v is not of it", e.Revision, e.ID, ev)
				continue
			}
			if first, ok := at[ev.Metric]; ok {
				v.Addf("once", "line %d of import %s is in the log twice, at %d and %d", line, key, first, e.Revision)
			}
			at[ev.Metric] = e.Revision
		}
	}
	for _, i := range imports {
		if !i.Done {
			continue
		}
		done++
		missing, late := 0, 0
		for line := range i.Lines {
			switch r := at[i.First+uint64(line)]; {
			case r == 0:
				missing++
			case r > i.Last:
				late++
			}
		}
		if missing+late > 0 {
			v.Addf("never lost", "of import %s, acknowledged up to revision %d, %d lines are not in the log and %d are behind that", i.Key, i.Last, missing, late)
		}
	}
	return done
}
