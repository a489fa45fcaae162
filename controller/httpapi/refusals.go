package httpapi

import (
	"cmp"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"dvr/controller/gate"
)

// Bounds of what is kept of refusals, in each of two books: those of actors who
// were authenticated, and those of everybody else. So a flood of strangers
// pushes out nothing that is known of an actor.
const (
	refusalsKept = 512     // in memory
	refusalsFile = 4 << 20 // of a file; a book has two
	// refusalsAlike is how long refusals that are alike count as one.
	refusalsAlike = time.Minute
	// Refusals that are unlike all others are kept so often, of an actor or of all
	// strangers; what comes beyond it is in the total alone.
	refusalsRate  = 1
	refusalsBurst = 256
)

// refusal is calls that were refused alike: the first of them, and how many.
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
	Count  uint64    `json:"count"`
	Last   time.Time `json:"last"`

	order uint64 // of Last
}

// likeness is what refusals that are alike have in common. Of a stranger it is
// nothing that he may choose: else he would fill the book with as many as he likes.
type likeness struct{ actor, source, method, path, kind string }

func (x *refusal) likeness() likeness {
	if !x.Known {
		return likeness{source: x.Source, kind: x.Type}
	}
	return likeness{x.Actor, x.Source, x.Method, x.Path, x.Type}
}

// Refusals keeps the calls that this node refused: the newest in memory and, in
// a directory, in files that are put aside when they are full. Safe for
// concurrent use.
type Refusals struct {
	mu        sync.Mutex
	total     uint64
	actors    *book
	strangers *book
}

// NewRefusals keeps them in dir, too, unless it is empty: refusals.ndjson has
// those of actors, strangers.ndjson the others. A file is made with its first.
func NewRefusals(dir string) *Refusals {
	file := func(name string) string {
		if dir == "" {
			return ""
		}
		return filepath.Join(dir, name)
	}
	return &Refusals{actors: newBook(file("refusals.ndjson")), strangers: newBook(file("strangers.ndjson"))}
}

// Close writes what is not written yet and closes the files.
func (f *Refusals) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.actors.close(), f.strangers.close())
}

// note keeps err where it refuses somebody something: a change, or any call to
// who may not make it. nil keeps nothing.
func (f *Refusals) note(r *http.Request, k class, err error) {
	row, _ := rowOf(err)
	denied := row.status == http.StatusUnauthorized || row.status == http.StatusForbidden || errors.Is(err, errFlood)
	if f == nil || row.status/100 != 4 || row.status == 499 || !denied && k < changes {
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
	x.Count, x.Last, x.order = 1, x.Time, f.total
	if x.Known {
		f.actors.add(x, x.Actor)
	} else {
		f.strangers.add(x, "")
	}
}

// newest lists them, those that happened last first, at most limit.
func (f *Refusals) newest(limit int) (list []refusal, total uint64, fault error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list = slices.Concat(f.actors.ring, f.strangers.ring)
	slices.SortFunc(list, func(a, b refusal) int { return cmp.Compare(b.order, a.order) })
	return list[:min(limit, len(list))], f.total, errors.Join(f.actors.file.fault, f.strangers.file.fault)
}

// book is some of the refusals. Refusals' lock guards it.
type book struct {
	ring  []refusal
	next  int
	open  map[likeness]int // where in ring those are that may still count up
	rates *gate.Rates[string]
	file  journal
}

func newBook(path string) *book {
	return &book{
		open: map[likeness]int{}, file: journal{path: path, limit: refusalsFile},
		rates: gate.NewRates[string](refusalsRate, refusalsBurst, refusalsKept),
	}
}

// add counts x with those alike, or keeps it where who has room for it. The file
// has the first of those that are alike, and when they are over their number.
func (b *book) add(x *refusal, who string) {
	key := x.likeness()
	if at, ok := b.open[key]; ok {
		e := &b.ring[at]
		if age := x.Time.Sub(e.Time); age >= 0 && age < refusalsAlike {
			e.Count++
			e.Last, e.order = x.Last, x.order
			return
		}
		b.settle(at)
	}
	if !b.rates.Take(who, x.Time) {
		return
	}
	at := len(b.ring)
	if at < refusalsKept {
		b.ring = append(b.ring, *x)
	} else {
		at, b.next = b.next, (b.next+1)%refusalsKept
		b.settle(at)
		b.ring[at] = *x
	}
	b.open[key] = at
	b.file.append(x)
}

// settle ends the counting of ring[at].
func (b *book) settle(at int) {
	e := &b.ring[at]
	key := e.likeness()
	if was, open := b.open[key]; open && was == at {
		delete(b.open, key)
		if e.Count > 1 {
			b.file.append(e)
		}
	}
}

func (b *book) close() error {
	for _, at := range b.open {
		if b.ring[at].Count > 1 {
			b.file.append(&b.ring[at])
		}
	}
	clear(b.open)
	return b.file.close()
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
	limit, err := q.count("limit", 100, 2*refusalsKept)
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
