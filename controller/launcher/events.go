package launcher

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Limits of streams.
const (
	maxStreams = 256
	heartbeat  = 15 * time.Second
)

// open begins a stream, or errBusy; the caller calls end.
func (l *Launcher) openStream() (end func(), err error) {
	select {
	case l.streams <- struct{}{}:
		return func() { <-l.streams }, nil
	default:
		return nil, fmt.Errorf("%w: %d are open", errBusy, maxStreams)
	}
}

// events is an SSE stream: `nodes` with all of them first, then `node` with each
// that changes and `removed` with the id of each that goes. It needs no node to
// be alive. What a slow reader has not been sent yet is sent as it is by then.
func (l *Launcher) events(w http.ResponseWriter, r *http.Request) error {
	end, err := l.openStream()
	if err != nil {
		return err
	}
	defer end()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	flush := http.NewResponseController(w)
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	sent := map[string][]byte{}
	var b bytes.Buffer
	b.WriteString("retry: 1000\n")
	for first := true; ; first = false {
		nodes, moved := l.Nodes()
		if first {
			event(&b, "nodes", nodes)
		}
		for id, n := range nodes {
			raw, err := json.Marshal(n)
			if err != nil {
				return nil // cannot be: the status has marshalled before
			}
			if !bytes.Equal(raw, sent[id]) {
				sent[id] = raw
				if !first {
					event(&b, "node", json.RawMessage(raw))
				}
			}
		}
		for id := range sent {
			if _, ok := nodes[id]; !ok {
				delete(sent, id)
				event(&b, "removed", map[string]string{"id": id})
			}
		}
		if b.Len() > 0 {
			if _, err := w.Write(b.Bytes()); err != nil || flush.Flush() != nil {
				return nil // the client went away
			}
			b.Reset()
		}
		select {
		case <-moved:
		case <-tick.C:
			b.WriteString(": still here\n\n")
		case <-r.Context().Done():
			return nil
		case <-l.serving.Done():
			return nil
		}
	}
}

func event(b *bytes.Buffer, name string, data any) {
	raw, _ := json.Marshal(data) // of types that always can
	fmt.Fprintf(b, "event: %s\ndata: %s\n\n", name, raw)
}
