package robustness

import (
	"bufio"
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

// watchSilence is how long a watcher hears nothing before it turns to another
// node. It is shorter than the nodes' heartbeat, so that quiet streams are
// resumed, too.
const watchSilence = 4 * time.Second

// Seen is a change of a key as a watcher was told it.
type Seen struct {
	Revision uint64
	Key      string
	Value    string // "" where it was deleted
}

// Watcher follows the keys with a prefix through GET /v1/kv/watch, at one node
// after the other, each time after the last id that it heard.
type Watcher struct {
	Prefix string
	Nodes  func() []Node
	HTTP   *http.Client
	Seed   uint64

	mu      sync.Mutex
	after   uint64 // where it began, again where the log was truncated meanwhile
	at      uint64 // up to where it has everything
	id      string
	changes []Seen // of commits that it has whole
	resumed int
	gone    []gone // where it had to begin anew
}

// gone is a watch that came too late: the log began behind what it wanted next.
type gone struct {
	after, at, low uint64
	changes        []Seen
}

// Begin says after which revision it is to begin.
func (w *Watcher) Begin(after uint64) { w.after, w.at = after, after }

// At is the revision up to which the watcher has been told everything, and how
// often it has resumed.
func (w *Watcher) At() (revision uint64, resumed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at, w.resumed
}

// Run follows until ctx ends.
func (w *Watcher) Run(ctx context.Context, v *Violations) {
	rng := rand.New(rand.NewPCG(w.Seed, 1<<34))
	for ctx.Err() == nil {
		if nodes := w.Nodes(); len(nodes) > 0 {
			w.follow(ctx, nodes[rng.IntN(len(nodes))], v)
		}
		if pause(ctx) != nil {
			return
		}
	}
}

// follow hears one stream to its end.
func (w *Watcher) follow(ctx context.Context, n Node, v *Violations) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(watchSilence, cancel)
	defer silence.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.API+"/v1/kv/watch", nil)
	if err != nil {
		v.Addf("answer", "%v", err)
		return
	}
	q := req.URL.Query()
	q.Set("prefix", w.Prefix)
	q.Set("after", strconv.FormatUint(w.after, 10))
	req.URL.RawQuery = q.Encode()
	if w.id != "" {
		req.Header.Set("Last-Event-ID", w.id)
	}
	resp, err := w.HTTP.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusGatewayTimeout:
		return
	case http.StatusGone: // the log was shortened to make room: list again, and go on from there
		if err := w.anew(resp); err != nil {
			v.Addf("watch", "%s says that what came after %d is gone: %v", n.Name, w.at, err)
		}
		return
	default:
		raw, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		v.Addf("watch", "%s refuses to go on after %s (%d): %d %s", n.Name, w.id, w.after, resp.StatusCode, raw)
		return
	}
	w.mu.Lock()
	w.resumed++
	w.mu.Unlock()
	if err := w.hear(resp.Body, func() { silence.Reset(watchSilence) }); err != nil {
		v.Addf("watch", "%s tells %v", n.Name, err)
	}
}

// anew begins again with the first commit that is there, or will be: after a
// snapshot of everything the log begins with the next.
func (w *Watcher) anew(resp *http.Response) error {
	var p struct{ Detail string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&p); err != nil {
		return err
	}
	var low uint64
	if _, text, ok := strings.Cut(p.Detail, "the log begins at revision "); !ok {
		return fmt.Errorf("where the log begins is not said: %s", p.Detail)
	} else if _, err := fmt.Sscan(text, &low); err != nil {
		return fmt.Errorf("where the log begins is not said: %s", p.Detail)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if low <= w.at+1 {
		return fmt.Errorf("the log begins at %d, so it is not", low)
	}
	w.gone = append(w.gone, gone{w.after, w.at, low, w.changes})
	w.after, w.at, w.id, w.changes = low-1, low-1, "", nil
	return nil
}

// hear takes in a stream. What has no id behind it when the stream ends is
// forgotten: it comes again. The error is of what was told, not of the stream.
func (w *Watcher) hear(r io.Reader, alive func()) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	var part []Seen
	var id, kind, data string
	for lines.Scan() {
		alive()
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() != "":
			switch name {
			case "id":
				id = value
			case "event":
				kind = value
			case "data":
				data = value
			}
			continue
		case data != "":
			var e struct {
				Key, Value string
				Revision   uint64
			}
			if err := json.Unmarshal([]byte(data), &e); err != nil || kind != "put" && kind != "delete" || (kind == "put") != (e.Value != "") {
				return fmt.Errorf("an event %s of %s: %w", kind, data, err)
			}
			part = append(part, Seen{e.Revision, e.Key, e.Value})
		}
		if id != "" {
			if err := w.take(id, part, data == ""); err != nil {
				return err
			}
			part = nil
		}
		id, kind, data = "", "", ""
	}
	return nil
}

// take keeps what came up to an id; beat: it stands behind no event.
func (w *Watcher) take(id string, part []Seen, beat bool) error {
	_, text, _ := strings.Cut(id, "/")
	_, text, _ = strings.Cut(text, "/")
	at, err := strconv.ParseUint(text, 10, 64)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		return fmt.Errorf("the id %q: %w", id, err)
	case at < w.at:
		return fmt.Errorf("revision %d behind %d", at, w.at)
	case beat && len(part) > 0:
		return fmt.Errorf("a heartbeat at %d in the middle of revision %d", at, part[0].Revision)
	}
	for _, s := range part {
		if s.Revision != at || s.Revision <= w.at {
			return fmt.Errorf("a change of revision %d under the id of %d, behind %d", s.Revision, at, w.at)
		}
	}
	w.id, w.at = id, at
	w.changes = append(w.changes, part...)
	return nil
}

// keyChanges are the changes of keys with the prefix that the log has after a
// revision, up to another.
func keyChanges(log []Entry, prefix string, after, to uint64) []Seen {
	var out []Seen
	for i := range log {
		e := &log[i]
		if e.Revision <= after || e.Revision > to {
			continue
		}
		for _, ev := range e.Events {
			if strings.HasPrefix(ev.Kind, "key.") && strings.HasPrefix(ev.Key, prefix) {
				out = append(out, Seen{e.Revision, ev.Key, ev.Value})
			}
		}
	}
	return out
}

// CheckWatch holds what a watcher was told against the log: every change, once,
// in order, and nothing else. It returns how many there are.
func CheckWatch(w *Watcher, log []Entry, v *Violations) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := 0
	for _, part := range append(w.gone, gone{after: w.after, at: w.at, changes: w.changes}) {
		w.check(part, log, v)
		told += len(part.changes)
	}
	return told
}

// check judges what was told between two beginnings.
func (w *Watcher) check(part gone, log []Entry, v *Violations) {
	want := keyChanges(log, w.Prefix, part.after, part.at)
	if part.at > uint64(len(log)) {
		v.Addf("watch", "the log ends at %d, a watcher of %q was told of %d", len(log), w.Prefix, part.at)
	}
	for i := range max(len(want), len(part.changes)) {
		var has, told any = "nothing", "nothing"
		if i < len(want) {
			has = want[i]
		}
		if i < len(part.changes) {
			told = part.changes[i]
		}
		if has != told {
			v.Addf("watch", "change %d with %q after revision %d is %+v in the log; a watcher that resumed %d times was told %+v", i+1, w.Prefix, part.after, has, w.resumed, told)
			return
		}
	}
}
