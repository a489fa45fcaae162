package httpapi

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// Bounds of what is kept of refusals.
const (
	refusalsKept  = 1024
	refusalsBytes = 4 << 20 // of a file; there are two
)

// refusal is a call that was refused.
type refusal struct {
	Time   time.Time `json:"time"`
	Actor  string    `json:"actor,omitempty"` // as authenticated; else as the caller says
	Known  bool      `json:"authenticated"`
	Source string    `json:"source"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Status int       `json:"status"`
	Type   string    `json:"type"`
	Detail string    `json:"detail"`
	Reason string    `json:"reason,omitempty"` // that the caller gave
}

// Refusals keeps the calls that this node refused: the newest in memory and, in
// a directory, in a file that is put aside when it is full. Safe for concurrent use.
type Refusals struct {
	mu    sync.Mutex
	ring  []refusal
	next  int
	total uint64
	path  string // empty: none
	file  *os.File
	size  int64
	fault error // why nothing is written any more
}

// NewRefusals keeps them in dir, too, unless it is empty. The file is made with
// the first of them.
func NewRefusals(dir string) *Refusals {
	r := &Refusals{}
	if dir != "" {
		r.path = filepath.Join(dir, "refusals.ndjson")
	}
	return r
}

// Close closes the file.
func (f *Refusals) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file, f.path = nil, ""
	return err
}

// note keeps err where it refuses somebody something: a change, or any call to
// who may not make it.
func (f *Refusals) note(r *http.Request, k class, err error) {
	row, _ := rowOf(err)
	denied := row.status == http.StatusUnauthorized || row.status == http.StatusForbidden
	if row.status/100 != 4 || row.status == 499 || !denied && k < changes {
		return
	}
	x := refusal{
		Time: time.Now().UTC().Truncate(time.Millisecond), Source: source(r), Method: r.Method, Path: short(r.URL.Path), Status: row.status, Type: "/problems/" + row.slug,
		Detail: short(err.Error()),
	}
	if v := r.Header[callerHeader]; len(v) > 0 {
		x.Actor, x.Known = v[0], true
	} else if v := r.Header["X-Dvr-Actor"]; len(v) > 0 {
		x.Actor = short(v[0])
	}
	if q, err := parseQuery(r.URL.RawQuery, []string{"reason"}); err == nil || q.n > 0 {
		x.Reason = short(q.get("reason"))
	}
	f.add(&x)
}

func (f *Refusals) add(x *refusal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total++
	if len(f.ring) < refusalsKept {
		f.ring = append(f.ring, *x)
	} else {
		f.ring[f.next] = *x
		f.next = (f.next + 1) % refusalsKept
	}
	if f.path == "" {
		return
	}
	raw, err := json.Marshal(x)
	if err == nil {
		err = f.write(append(raw, '\n'))
	}
	f.fault = err
}

// write appends a line to the file, after putting a full one aside.
func (f *Refusals) write(line []byte) error {
	if f.file != nil && f.size+int64(len(line)) > refusalsBytes {
		_ = f.file.Close() // every line was written
		f.file = nil
		if err := os.Rename(f.path, f.path+".1"); err != nil {
			return err
		}
	}
	if f.file == nil {
		file, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		at, err := file.Stat()
		if err != nil {
			_ = file.Close()
			return err
		}
		f.file, f.size = file, at.Size()
	}
	n, err := f.file.Write(line)
	f.size += int64(n)
	return err
}

// newest lists them, the newest first, at most limit.
func (f *Refusals) newest(limit int) (list []refusal, total uint64, fault error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range min(limit, len(f.ring)) {
		list = append(list, f.ring[(f.next+len(f.ring)-1-i)%len(f.ring)])
	}
	return list, f.total, f.fault
}

// refusalsBody is the answer of GET /v1/audit.
type refusalsBody struct {
	Refusals []refusal `json:"refusals"`
	Total    uint64    `json:"total"` // since the node started
	Fault    string    `json:"fault,omitempty"`
}

// listRefusals is GET /v1/audit: what this node refused. What it did is in the log.
func (s *Server) listRefusals(c echo.Context) error {
	q, err := parseQuery(c.Request().URL.RawQuery, []string{"limit"})
	if err != nil {
		return err
	}
	limit, err := q.count("limit", 100, refusalsKept)
	if err != nil {
		return err
	}
	list, total, fault := s.refused.newest(limit)
	body := refusalsBody{Refusals: list, Total: total}
	if list == nil {
		body.Refusals = []refusal{}
	}
	if fault != nil {
		body.Fault = fault.Error()
	}
	return s.sendJSON(c, http.StatusOK, body)
}
