package projector

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// maxSnapshotLine bounds a line: the largest is a timer with the events of a whole batch.
const maxSnapshotLine = 4 << 20

// loader reads a snapshot into a fold.
type loader struct {
	past   bool // no index of the window is made
	r      *bufio.Reader
	long   []byte // a line longer than r's buffer
	lines  int
	fold   *Fold
	head   snapshotHeader
	bodies []*body
	sets   []*candidateSet
	revs   []eventlog.Revision
	used   struct{ bodies, sets int } // met so far: they are numbered in this order
	before place                      // the destination read last
	key    pmap.String                // the item read last
	text   []byte                     // scratch

	pending []pendingItem
	author  uint64 // the revision read last
}

var (
	errForm  = errors.New("malformed line")
	errAhead = errors.New("a revision is ahead of the state's or the destination's")
)

// Load reads what State.Save wrote. Counts, order and both digests are
// verified. Errors: eventlog.ErrCorrupt, ErrLevel, the reader's own.
// Cost: about 0.3 s for a million prefixes.
func Load(r io.Reader) (*Fold, error) { return load(r, false) }

// LoadPast is Load for looking at the past: as Revisit, the fold keeps no index
// of the idempotency window.
func LoadPast(r io.Reader) (*Fold, error) { return load(r, true) }

func load(r io.Reader, past bool) (*Fold, error) {
	l := &loader{r: bufio.NewReaderSize(r, 256<<10), past: past}
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("load state, line %d: %w", l.lines, err)
	}
	return l.fold, nil
}

func (l *loader) load() error {
	if err := l.header(); err != nil {
		return err
	}
	sections := []struct {
		n    int
		read func(line []byte) error
	}{
		{l.head.Bodies, l.body}, {l.head.Sets, l.set}, {l.head.Destinations, l.destination},
		{l.head.Items, l.item}, {l.head.Window, l.remembered}, {l.head.Authors, l.written},
	}
	for _, s := range sections {
		for range s.n {
			line, err := l.line()
			if err == nil {
				err = s.read(line)
			}
			if err != nil {
				return corrupt(err)
			}
		}
	}
	line, err := l.line()
	if err != nil || string(line) != snapshotEnd[:len(snapshotEnd)-1] {
		return corrupt(errors.Join(errors.New("the end line is missing"), err))
	}
	if _, err := l.r.ReadByte(); err != io.EOF {
		return corrupt(errors.New("something follows the end"))
	}
	if err := l.hold(); err != nil {
		return corrupt(err)
	}
	if err := l.count(); err != nil {
		return corrupt(err)
	}
	return l.verify()
}

// corrupt classes an error of the content; the reader's own stays what it is.
func corrupt(err error) error {
	if errors.Is(err, errRead) || errors.Is(err, eventlog.ErrCorrupt) {
		return err
	}
	return fmt.Errorf("%w: %w", eventlog.ErrCorrupt, err)
}

var errRead = errors.New("cannot read")

// line is the next line without its end, valid until the next call.
func (l *loader) line() ([]byte, error) {
	l.lines++
	b, err := l.r.ReadSlice('\n')
	if err == nil {
		return b[:len(b)-1], nil
	}
	l.long = append(l.long[:0], b...)
	for err == bufio.ErrBufferFull && len(l.long) < maxSnapshotLine {
		b, err = l.r.ReadSlice('\n')
		l.long = append(l.long, b...)
	}
	switch {
	case err == nil:
		return l.long[:len(l.long)-1], nil
	case err == io.EOF:
		return nil, fmt.Errorf("the snapshot is cut off: %w", io.ErrUnexpectedEOF)
	case err == bufio.ErrBufferFull:
		return nil, errors.New("the line is too long")
	}
	return nil, fmt.Errorf("%w: %w", errRead, err)
}

func (l *loader) header() error {
	line, err := l.line()
	if err != nil {
		return corrupt(err)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&l.head); err != nil {
		// A newer form may have members that this program does not know.
		var form struct {
			Format int `json:"format"`
		}
		if json.Unmarshal(line, &form) == nil && form.Format > eventlog.Format {
			return fmt.Errorf("snapshot format %d: %w", form.Format, eventlog.ErrLevel)
		}
		return corrupt(err)
	}
	h := &l.head
	if h.Format > eventlog.Format {
		return fmt.Errorf("snapshot format %d: %w", h.Format, eventlog.ErrLevel)
	}
	if h.Level > eventlog.MaxLevel {
		return fmt.Errorf("snapshot: %w", &eventlog.LevelError{Level: h.Level})
	}
	if h.Format != eventlog.Format || min(h.Bodies, h.Sets, h.Destinations, h.Items, h.Window) < 0 || h.Window > windowMax {
		return corrupt(errors.New("the header is out of range"))
	}
	if canonical, err := json.Marshal(h); err != nil || !bytes.Equal(canonical, line) || h.Epochs == nil {
		return corrupt(errors.New("the header is not in the form of the writer"))
	}
	if (h.Window == 0) != (h.Revision == 0) || h.Window == 0 && h.WindowFirst != 0 {
		return corrupt(errors.New("there is no window, or one without a commit"))
	}
	if h.Revision > 1<<62 || h.Window > 0 && (h.WindowFirst == 0 || h.WindowFirst > h.Revision || h.WindowFirst+uint64(h.Window)-1 != h.Revision) {
		return corrupt(errors.New("the window does not end at the revision"))
	}
	f := NewFold(h.LogID)
	f.pos.Epoch, f.pos.Revision, f.level, f.time = h.Epoch, eventlog.Revision(h.Revision), h.Level, h.Time
	f.keysAt = f.pos.Revision // deletions are not in a snapshot
	if !decodeHex(f.nonce[:], h.Nonce) || !decodeHex(f.hash[:], h.Hash) {
		return corrupt(errors.New("nonce or hash is not hex of the right length"))
	}
	for i, e := range h.Epochs {
		if e[0] == 0 || e[1] == 0 || e[1] > h.Revision || i > 0 && (e[0] < h.Epochs[i-1][0] || e[1] < h.Epochs[i-1][1]) {
			return corrupt(errors.New("the epochs are out of order"))
		}
		f.epochs = append(f.epochs, Epoch{e[0], eventlog.Revision(e[1])})
	}
	f.window.unindexed = l.past
	l.fold = f
	return nil
}

func decodeHex(dst []byte, s string) bool {
	if len(s) != 2*len(dst) {
		return false
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil && hex.EncodeToString(dst) == s
}

func (l *loader) body(line []byte) error {
	r, err := eventlog.DecodeRouteBody(line)
	if err != nil {
		return err
	}
	in := &l.fold.intern
	id, canonical := bodyID(in.line, &r)
	in.line = canonical
	if !bytes.Equal(canonical, line) {
		return errors.New("a body is not in canonical form")
	}
	if in.byBody[id] != nil {
		return errors.New("a body is repeated")
	}
	b := newBody(&r, id)
	in.addBody(b)
	l.bodies = append(l.bodies, b)
	return nil
}

func (l *loader) set(line []byte) error {
	c := cursor{b: line}
	var bodies []*body
	c.expect('[')
	for {
		i := c.uint()
		if c.bad || i >= uint64(len(l.bodies)) {
			return errForm
		}
		if !next(&l.used.bodies, i) {
			return errors.New("the bodies are not numbered in the order of their use")
		}
		b := l.bodies[i]
		if n := len(bodies); n > 0 && compareRoutes(&bodies[n-1].route.RouteID, &b.route.RouteID) >= 0 {
			return errors.New("the candidates are out of order")
		}
		bodies = append(bodies, b)
		if !c.more() {
			break
		}
	}
	if !c.done() {
		return errForm
	}
	in := &l.fold.intern
	n := len(in.sets)
	s := in.set(bodies)
	in.sets[s.slot].refs = 0 // the destinations count
	if len(in.sets) == n {
		return errors.New("a set is repeated")
	}
	l.sets = append(l.sets, s)
	return nil
}

func (l *loader) destination(line []byte) error {
	c := cursor{b: line}
	c.expect('[')
	p := c.prefix()
	c.expect(',')
	i := c.uint()
	c.expect(',')
	rev := eventlog.Revision(c.uint())
	if c.bad || i >= uint64(len(l.sets)) {
		return errForm
	}
	if !next(&l.used.sets, i) {
		return errors.New("the sets are not numbered in the order of their use")
	}
	if rev > l.fold.pos.Revision {
		return errAhead
	}
	if p.v6 == l.before.v6 && l.before != (place{}) && !l.before.before(p) || l.before.v6 && !p.v6 {
		return errors.New("the destinations are out of order")
	}
	l.before = p
	f, s := l.fold, l.sets[i]
	var e *entry
	var existed bool
	if p.v6 {
		e, existed = f.v6.Upsert(p.key6())
	} else {
		e, existed = f.v4.Upsert(p.key4())
	}
	if existed {
		return errors.New("a destination is repeated")
	}
	e.set, e.rev = s, rev
	if c.peek() == ',' {
		c.i++
		c.expect('[')
		l.revs = l.revs[:0]
		for {
			l.revs = append(l.revs, eventlog.Revision(c.uint()))
			if l.revs[len(l.revs)-1] > rev {
				return errAhead
			}
			if c.bad || !c.more() {
				break
			}
		}
		if len(l.revs) != len(s.bodies) {
			return errForm
		}
		if e.setRevisions(rev, l.revs); e.each == nil {
			return errors.New("revisions are listed that do not differ")
		}
	}
	c.expect(']')
	if !c.done() {
		return errForm
	}
	f.intern.sets[s.slot].refs++
	f.intern.join(s, p)
	f.routes += len(s.bodies)
	for i, b := range s.bodies {
		f.digest = f.digest.Add(p.routeItem(b, e.revision(i)))
	}
	return nil
}

func (l *loader) item(line []byte) error {
	c := cursor{b: line}
	c.expect('[')
	rev := eventlog.Revision(c.uint())
	c.expect(',')
	n := c.uint()
	c.expect(',')
	if c.bad || len(line) == 0 || line[len(line)-1] != ']' {
		return errForm
	}
	e, err := eventlog.DecodeEvent(line[c.i : len(line)-1])
	if err != nil {
		return err
	}
	k := setterKey(e, rev)
	if k <= l.key {
		return fmt.Errorf("an item of kind %s is not expected", e.Kind())
	}
	l.key = k
	switch {
	case rev > l.fold.pos.Revision:
		return errAhead
	case n > 0 && k[0] != itemConfirmation && k[0] != itemTimer:
		return errForm
	}
	if err := l.inForce(e); err != nil {
		return err
	}
	if l.text = eventlog.AppendEvent(l.text[:0], e); !bytes.Equal(l.text, line[c.i:len(line)-1]) {
		return errors.New("an item is not in canonical form")
	}
	it := &item{event: e, rev: rev}
	timer, _ := e.(*eventlog.TimerSet)
	if n > 0 && timer != nil && !timer.Undo && !timer.Unchanged {
		return errForm
	}
	p := pendingItem{item: it}
	for range n {
		line, err := l.line()
		if err != nil {
			return err
		}
		u, err := eventlog.DecodeEvent(line)
		if err != nil {
			return err
		}
		if l.text = eventlog.AppendEvent(l.text[:0], u); !bytes.Equal(l.text, line) {
			return errors.New("an event is not in canonical form")
		}
		if timer != nil && timer.Unchanged {
			p.touched = append(p.touched, u)
			continue
		}
		if other, ok := u.(*eventlog.ConfirmationConfirmed); ok && other.Revision == rev && !p.other[len(it.inverse)] {
			if p.other == nil {
				p.other = map[int]bool{}
			}
			p.other[len(it.inverse)] = true
			continue
		}
		if end, ok := u.(*eventlog.ConfirmationUndone); ok && end.Revision == rev && it.gone == 0 && len(it.inverse) > 0 {
			it.gone = len(it.inverse)
			continue
		}
		it.inverse = append(it.inverse, u)
	}
	if len(p.other) > 0 && p.other[len(it.inverse)] {
		return errForm
	}
	l.fold.setItem(k, it)
	if len(it.inverse) > 0 || timer != nil && timer.Unchanged {
		l.pending = append(l.pending, p)
	}
	return nil
}

// pendingItem is a confirmation or a timer with what it holds, until all that it
// may be about is there.
type pendingItem struct {
	item    *item
	other   map[int]bool     // where an inverse event's hold is not what its item seems to say
	touched []eventlog.Event // of what a timer watches
}

// hold makes the holds of what is pending, the oldest commit's first.
func (l *loader) hold() error {
	slices.SortStableFunc(l.pending, func(a, b pendingItem) int { return cmp.Compare(a.item.rev, b.item.rev) })
	f, s := l.fold, l.fold.Current()
	for _, p := range l.pending {
		if t, ok := p.item.event.(*eventlog.TimerSet); ok && t.Unchanged {
			for _, e := range t.Events {
				l.heldBy(e, hold{owner: p.item.rev, back: e, watch: true})
			}
			for _, e := range p.touched {
				k := holdKey(e)
				h, _ := f.held.Get(k)
				if h == nil || h.owner != p.item.rev {
					return errors.New("a timer does not watch what it says was changed")
				}
				h.touched = 1 // still ours alone
			}
			continue
		}
		for i, e := range p.item.inverse {
			h := hold{owner: p.item.rev}
			if t, ok := p.item.event.(*eventlog.TimerSet); ok {
				h.until = t.Name
			}
			if p.item.lends() {
				h.lent = e
			} else {
				h.back = e
			}
			if s.seemsTouched(p.item, i) != p.other[i] {
				h.touched = 1
			}
			l.heldBy(e, h)
		}
	}
	return nil
}

// heldBy adds a hold of what e is about, for one holder.
func (l *loader) heldBy(e eventlog.Event, h hold) {
	k := holdKey(e)
	if k == "" {
		return
	}
	h.holders = 1
	if top, _ := l.fold.held.Get(k); top != nil && top.owner == h.owner {
		joined := *top
		joined.join(&h)
		joined.touched = max(top.touched, h.touched)
		h = joined
	} else {
		h.below = top
	}
	l.fold.held.Set(k, &h)
}

// written reads whose a revision is.
func (l *loader) written(line []byte) error {
	var pair [2]json.RawMessage
	var r uint64
	var actor string
	if json.Unmarshal(line, &pair) != nil || json.Unmarshal(pair[0], &r) != nil || json.Unmarshal(pair[1], &actor) != nil || actor == "" {
		return errForm
	}
	out := saver{}
	if out.saveAuthor(revisionKey(eventlog.Revision(r)), actor); !bytes.Equal(out.buf, append(slices.Clip(line), '\n')) {
		return errForm
	}
	if r <= l.author || eventlog.Revision(r) > l.fold.pos.Revision {
		return errAhead
	}
	l.author = r
	l.fold.authors.Set(revisionKey(eventlog.Revision(r)), authored{actor: actor})
	return nil
}

// count counts the routes of the actors that guards name.
func (l *loader) count() error {
	f := l.fold
	f.recount()
	if f.authors.Len() != l.head.Authors {
		return errors.New("an actor's routes are counted, and no guard names it")
	}
	if l.head.Authors == 0 {
		return nil
	}
	var last eventlog.Revision
	var at *authored
	for _, e := range f.Current().entries(netip.Prefix{}, netip.Prefix{}) {
		for i := range e.set.bodies {
			if r := e.revision(i); r != last {
				last, at = r, f.authors.Update(revisionKey(r))
			}
			if at != nil {
				at.routes++
			}
		}
	}
	for _, a := range f.authors.All() {
		if a.routes == 0 {
			return errors.New("a counted commit has no routes")
		}
		n, _ := f.counted.Upsert(pmap.String(a.actor))
		*n += a.routes
	}
	return nil
}

// inForce holds the epoch and level in force against the header.
func (l *loader) inForce(e eventlog.Event) error {
	f := l.fold
	switch e := e.(type) {
	case *eventlog.EpochStarted:
		if e.Epoch != f.pos.Epoch || e.Nonce != f.nonce || e.LogID != "" && e.LogID != f.pos.LogID {
			return errors.New("the epoch is not the header's")
		}
	case *eventlog.LevelRaised:
		if e.Level != f.level {
			return errors.New("the level is not the header's")
		}
	}
	return nil
}

// next reports that a number is known or the next one.
func next(used *int, i uint64) bool {
	if i == uint64(*used) {
		*used++
	}
	return i < uint64(*used)
}

func (l *loader) remembered(line []byte) error {
	c := cursor{b: line}
	var m memory
	c.expect('[')
	c.base64(m.key[:])
	c.expect(',')
	if bytes.HasPrefix(c.b[c.i:], []byte(`""`)) {
		c.i += 2
	} else {
		if c.base64(m.request[:]); m.request == (eventlog.RequestHash{}) {
			return errForm
		}
	}
	c.expect(',')
	negative := c.peek() == '-'
	if negative {
		c.i++
	}
	age := int64(c.uint())
	if negative && age == 0 {
		return errForm
	}
	if negative {
		age = -age
	}
	c.expect(']')
	if !c.done() {
		return errForm
	}
	w := &l.fold.window
	r := eventlog.Revision(l.head.WindowFirst)
	if w.len() > 0 {
		r = w.last + 1
	}
	w.append(r, m.key, m.request, l.head.Time-age)
	return nil
}

// verify compares with the header what was read.
func (l *loader) verify() error {
	f, h := l.fold, &l.head
	for _, s := range f.intern.sets {
		if s.refs == 0 {
			return corrupt(errors.New("a set is not used"))
		}
	}
	for _, b := range f.intern.bodies {
		if b.refs == 0 {
			return corrupt(errors.New("a body is not used"))
		}
	}
	switch {
	case f.routes != h.Routes:
		return corrupt(fmt.Errorf("%d routes, not %d", f.routes, h.Routes))
	case f.digest.String() != h.Digest:
		return corrupt(fmt.Errorf("the state digest is %s, not %s", f.digest, h.Digest))
	case f.window.digest().String() != h.WindowDigest:
		return corrupt(fmt.Errorf("the window's digest is %s, not %s", f.window.digest(), h.WindowDigest))
	}
	f.flush()
	return nil
}

// cursor reads the pieces of a line. What does not fit sets bad and is not
// passed, so i never leaves the line.
type cursor struct {
	b   []byte
	i   int
	bad bool
}

// peek is the next byte; 0 at the end.
func (c *cursor) peek() byte {
	if c.i < len(c.b) {
		return c.b[c.i]
	}
	return 0
}

func (c *cursor) expect(x byte) {
	if c.peek() != x {
		c.bad = true
		return
	}
	c.i++
}

// more is true at a comma and false at the list's end; both are taken.
func (c *cursor) more() bool {
	x := c.peek()
	if x != ',' && x != ']' {
		c.bad = true
		return false
	}
	c.i++
	return x == ','
}

func (c *cursor) done() bool { return !c.bad && c.i == len(c.b) }

func (c *cursor) uint() (v uint64) {
	start := c.i
	for c.i < len(c.b) && c.b[c.i]-'0' <= 9 {
		v = v*10 + uint64(c.b[c.i]-'0')
		c.i++
	}
	if n := c.i - start; n == 0 || n > 19 || n > 1 && c.b[start] == '0' {
		c.bad = true
	}
	return v
}

// text is the inside of a string without escapes.
func (c *cursor) text() []byte {
	c.expect('"')
	if c.bad {
		return nil
	}
	n := bytes.IndexByte(c.b[c.i:], '"')
	if n < 0 {
		c.bad = true
		return nil
	}
	t := c.b[c.i : c.i+n]
	c.i += n + 1
	return t
}

func (c *cursor) base64(dst []byte) {
	t := c.text()
	if base64.RawStdEncoding.DecodedLen(len(t)) != len(dst) {
		c.bad = true
		return
	}
	if _, err := base64.RawStdEncoding.Strict().Decode(dst, t); err != nil {
		c.bad = true
	}
}

// prefix reads a canonical prefix. IPv4 is most of a snapshot and is read here.
func (c *cursor) prefix() place {
	t := c.text()
	if c.bad {
		return place{}
	}
	if bytes.IndexByte(t, ':') >= 0 {
		p, err := netip.ParsePrefix(string(t))
		if err != nil || p != p.Masked() || p.Addr().Is4In6() || p.String() != string(t) {
			c.bad = true
			return place{}
		}
		return placeOf(p)
	}
	in := cursor{b: t}
	var a uint64
	for i := range 4 {
		if i > 0 {
			in.expect('.')
		}
		x := in.uint()
		in.bad = in.bad || x > 255
		a = a<<8 | x
	}
	in.expect('/')
	n := in.uint()
	if !in.done() || n > 32 || a&(1<<(32-n)-1) != 0 {
		c.bad = true
		return place{}
	}
	return place{hi: a << 32, bits: uint8(n)}
}
