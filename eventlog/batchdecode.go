package eventlog

import (
	"bytes"
	"fmt"
)

// BatchLine is the first line of a batch.
type BatchLine struct {
	Format      int
	Epoch       uint64
	First, Last Revision
	Commits     int
	By          string
	Prev        Hash
}

// DecodeBatchLine reads the first line of raw and returns the bytes after it:
// what a store needs to check a batch without reading it. Errors: ErrCorrupt, ErrLevel.
func DecodeBatchLine(raw []byte) (BatchLine, []byte, error) {
	d := Decoder{single: true}
	d.s.reset(raw)
	l := d.batchLine()
	if err := d.lineError(); err != nil {
		return BatchLine{}, nil, err
	}
	return l, raw[d.s.i:], nil
}

func (d *Decoder) batchLine() (l BatchLine) {
	s := &d.s
	var f frame
	if !s.open("") {
		return l
	}
	d.each(&f, func(key []byte) bool {
		switch string(key) {
		case "format":
			s.once(&f, 0, "format")
			if l.Format = int(s.uint("format", 1<<31-1)); l.Format != Format && s.err == nil {
				s.fail("format", "is not one that this program knows")
				s.unknown = true
			}
		case "epoch":
			s.once(&f, 1, "epoch")
			l.Epoch = s.uint("epoch", 1<<64-1)
		case "first":
			s.once(&f, 2, "first")
			l.First = Revision(s.uint("first", 1<<64-1))
		case "last":
			s.once(&f, 3, "last")
			l.Last = Revision(s.uint("last", 1<<64-1))
		case "commits":
			s.once(&f, 4, "commits")
			l.Commits = int(s.uint("commits", MaxBatchCommits))
		case "by":
			s.once(&f, 5, "by")
			l.By = d.name("by")
		case "prev":
			s.once(&f, 6, "prev")
			s.hex("prev", l.Prev[:])
		default:
			return false
		}
		return true
	})
	for bit, field := range [...]string{"format", "epoch", "first", "last", "commits", "by", "prev"} {
		s.require(&f, uint(bit), field)
	}
	if s.err == nil {
		switch {
		case l.Epoch == 0:
			s.fail("epoch", "must be 1 or more")
		case l.First == 0:
			s.fail("first", "must be 1 or more")
		case l.Commits == 0:
			s.fail("commits", "must be 1 or more")
		case l.Last < l.First || uint64(l.Last-l.First) != uint64(l.Commits-1):
			s.fail("last", "does not fit first and commits")
		}
		s.check(checkAt("by", printableReason(l.By, MaxName)))
	}
	d.endLine()
	return l
}

func checkAt(field, reason string) error {
	if reason == "" {
		return nil
	}
	return &FieldError{Field: field, Reason: reason}
}

// endLine takes the newline.
func (d *Decoder) endLine() {
	s := &d.s
	if s.err != nil {
		return
	}
	if s.peek() != '\n' {
		s.fail("", "is not ended by a newline")
		return
	}
	s.i++
}

// lineError turns the scanner's error into one about stored bytes.
func (d *Decoder) lineError() error {
	s := &d.s
	if s.err == nil {
		return nil
	}
	kind := ErrCorrupt
	if s.unknown {
		kind = ErrLevel
	}
	return fmt.Errorf("%w: %w", kind, s.err)
}

// DecodeBatch reads a stored batch and checks it: form, counts, density,
// times, limits. Hash is computed from the bytes and Prev; whether Prev is
// right is the caller's to compare (Head.Follow). raw is not retained but for
// Raw, which is raw itself. Cost: about 300 ns a route.
// Errors: ErrLevel for what a newer program wrote (unknown format, kind or
// member), ErrCorrupt for everything else.
func (d *Decoder) DecodeBatch(raw []byte) (*Batch, error) {
	d.s.reset(raw)
	d.ids = d.ids[:0]
	b, err := d.batch(raw)
	d.s.b, d.commits = nil, 0
	if err != nil {
		return nil, fmt.Errorf("batch: %w", err)
	}
	return b, nil
}

func (d *Decoder) batch(raw []byte) (*Batch, error) {
	s := &d.s
	l := d.batchLine()
	if err := d.lineError(); err != nil {
		return nil, err
	}
	// A commit needs at least its line, so the count cannot cost more memory than the input.
	if l.Commits > len(raw)/minCommitBytes+1 {
		return nil, fmt.Errorf("%w: the batch is too short for %d commits", ErrCorrupt, l.Commits)
	}
	b := &Batch{Epoch: l.Epoch, By: l.By, Prev: l.Prev, Hash: l.Prev, Raw: raw}
	b.Commits = make([]Commit, l.Commits)
	ends := make([]int32, 0, 64)
	for i := range b.Commits {
		c := &b.Commits[i]
		start := s.i
		d.commits = l.Commits - 1 - i
		d.commit(c)
		if s.err == nil && c.Revision != l.First+Revision(i) {
			s.fail("revision", "is not the next one")
		}
		if s.err == nil {
			s.check(checkOrder(b, i))
		}
		if s.err != nil {
			err := d.lineError()
			return nil, fmt.Errorf("commit %d: %w", l.First+Revision(i), err)
		}
		if n := s.i - start; n > MaxCommitBytes || len(raw) > MaxBatchBytes && l.Commits > 1 {
			return nil, fmt.Errorf("%w: the batch is larger than the format allows", ErrCorrupt)
		}
		b.Hash = d.chain.next(b.Hash, raw[start:s.i])
		ends = append(ends, int32(len(d.ids)))
	}
	if s.i != len(raw) {
		return nil, fmt.Errorf("%w: the batch has bytes after its last commit", ErrCorrupt)
	}
	// One string holds all ids: they live and die together in the idempotency window.
	ids, from := string(d.ids), int32(0)
	for i := range b.Commits {
		b.Commits[i].ID = ids[from:ends[i]]
		from = ends[i]
	}
	return b, nil
}

// minCommitBytes is less than the shortest commit line.
const minCommitBytes = len(`{"revision":1,"id":"1","time":"2026-11-21T22:29:21.123Z","actor":"a","n":0}`)

// checkOrder checks what commit i of b may be only in relation to the batch.
func checkOrder(b *Batch, i int) error {
	c := &b.Commits[i]
	c.Epoch = b.Epoch
	if e := c.epochStarted(); e != nil {
		switch {
		case i > 0:
			return &FieldError{Field: "kind", Reason: "epoch.started must be in the first commit of its batch"}
		case e.Epoch != b.Epoch:
			return &FieldError{Field: "epoch", Reason: "is not that of the batch"}
		}
	}
	if i > 0 && c.Time < b.Commits[i-1].Time && !c.movesClock() {
		return &FieldError{Field: "time", Reason: "is before that of the commit before"}
	}
	return nil
}

// commit reads a commit line and its event lines, newlines included.
func (d *Decoder) commit(c *Commit) {
	s := &d.s
	var f frame
	if !s.open("") {
		return
	}
	n := 0
	var single Event
	idStart := len(d.ids)
	d.expectedLine(&f, c)
	if f.begun && s.ahead(&f, mN, `,"n":`) {
		n = int(s.uint("n", MaxCommitEvents))
	}
	if f.begun && s.ahead(&f, mEvent, `,"event":`) {
		single = d.singleEvent()
	}
	for {
		key, ok := s.member(&f)
		if !ok {
			break
		}
		switch string(key) {
		case "revision":
			s.once(&f, mRevision, "revision")
			c.Revision = Revision(s.uint("revision", 1<<64-1))
		case "id":
			s.once(&f, mID, "id")
			d.ids = d.ids[:idStart]
			d.commitID()
		case "time":
			s.once(&f, mTime, "time")
			c.Time = s.time("time")
		case "actor":
			s.once(&f, mActor, "actor")
			c.Actor = d.name("actor")
		case "source":
			s.once(&f, 4, "source")
			c.Source = d.name("source")
		case "for":
			s.once(&f, 5, "for")
			c.For = d.name("for")
		case "reason":
			s.once(&f, 6, "reason")
			c.Reason = d.name("reason")
		case "forced":
			s.once(&f, 7, "forced")
			c.Forced = d.names("forced", maxForced)
		case "reverts":
			s.once(&f, 8, "reverts")
			c.Reverts = listOf(s, "reverts", MaxCommitEvents, func(string) Revision { return Revision(s.uint("", 1<<64-1)) })
		case "via":
			s.once(&f, mVia, "via")
			c.Via = d.names("via", maxVia)
		case "request":
			s.once(&f, 9, "request")
			s.hex("request", c.Request[:])
		case "n":
			s.once(&f, mN, "n")
			n = int(s.uint("n", MaxCommitEvents))
		case "event":
			s.once(&f, mEvent, "event")
			s.peek()
			single = d.singleEvent()
		default:
			s.other(&f, key)
		}
	}
	for bit, field := range [...]string{"revision", "id", "time", "actor"} {
		s.require(&f, uint(bit), field)
	}
	s.require(&f, mN, "n")
	if s.err == nil && (n == 1) != (f.seen&(1<<mEvent) != 0) {
		s.fail("event", "must be there exactly when n is 1")
	}
	d.endLine()
	if s.err != nil {
		return
	}
	if f.seen&^ordinary != 0 || c.Actor != d.actor || c.Actor == "" || c.Time == 0 {
		c.ID = "-" // stands for the id, which was checked and follows
		s.check(c.validateLine())
		c.ID = ""
		if s.err == nil {
			d.actor = c.Actor
		}
	}
	if n == 1 {
		c.Events = append(d.newEvents(1), single)
		return
	}
	d.commitEvents(c, n)
}

// Members of a commit line, as bits of the frame.
const (
	mRevision = iota
	mID
	mTime
	mActor
	mN     = 10
	mEvent = 11
	mVia   = 12

	// ordinary members need no check but their own: the id's and the time's are
	// made when they are read, and the actor was checked where it is that of the
	// commit before.
	ordinary = 1<<mRevision | 1<<mID | 1<<mTime | 1<<mActor | 1<<mN | 1<<mEvent
)

// expectedLine reads the members that every commit line has where they stand as
// the canonical form puts them; see expected.
func (d *Decoder) expectedLine(f *frame, c *Commit) {
	s := &d.s
	if !s.ahead(f, mRevision, `"revision":`) {
		return
	}
	f.begun = true
	c.Revision = Revision(s.uint("revision", 1<<64-1))
	if s.ahead(f, mID, `,"id":"`) {
		d.commitID()
	}
	if s.ahead(f, mTime, `,"time":"`) {
		c.Time = d.sameTime()
	}
	if s.ahead(f, mActor, `,"actor":"`) {
		c.Actor = d.again("actor", &d.lastActor)
	}
}

// commitID reads a commit's id onto the list of ids.
func (d *Decoder) commitID() {
	s := &d.s
	id := s.text("id")
	if s.err != nil {
		return
	}
	if len(id) == 0 || len(id) > MaxID || !printable(id) {
		s.fail("id", "must be 1 to 128 printable ASCII bytes")
	}
	d.ids = append(d.ids, id...)
}

// sameTime is scanner.time for a time that is likely to be the last one again, as
// those of a batch are.
func (d *Decoder) sameTime() int64 {
	const quoted = timeLen + 2
	s := &d.s
	if len(s.b)-s.i >= quoted && string(s.b[s.i:s.i+quoted]) == string(d.timeText[:]) {
		s.i += quoted
		return d.timeMS
	}
	start := s.i
	ms := s.time("time")
	if s.err == nil && s.i-start == quoted {
		d.timeMS = ms
		copy(d.timeText[:], s.b[start:s.i])
	}
	return ms
}

func (d *Decoder) singleEvent() Event {
	s := &d.s
	d.expect = 1
	e := d.event()
	if s.err != nil {
		s.err.Field = joinField("event", s.err.Field)
	}
	return e
}

func (d *Decoder) commitEvents(c *Commit, n int) {
	s := &d.s
	if n == 0 || s.err != nil {
		return
	}
	if n > (len(s.b)-s.i)/len(`{"kind":"key.put"}`) {
		s.fail("n", "is more than the lines that follow")
		return
	}
	events := d.newEvents(n)
	for i := range n {
		if d.Skip != nil {
			if end := bytes.IndexByte(s.b[s.i:], '\n'); end >= 0 && d.Skip(s.b[s.i:s.i+end]) {
				s.i += end + 1
				events = append(events, nil)
				continue
			}
		}
		d.expect = n - i
		e := d.event()
		d.endLine()
		if s.err != nil {
			s.within("events", i)
			return
		}
		if e.Kind() == KindCommitStaged {
			s.fail(fmt.Sprintf("events[%d].kind", i), "commit.staged must be the only event of its commit")
			return
		}
		events = append(events, e)
	}
	c.Events = events
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

func countLines(b []byte) int { return bytes.Count(b, []byte{'\n'}) }

// VerifyBatch reads raw and checks that it continues prev: every check of
// DecodeBatch and Head.Follow, and each commit's own (Commit.Validate). It
// returns the head that the batch leaves behind, Guard zero.
func VerifyBatch(raw []byte, prev Head) (*Batch, Head, error) {
	var d Decoder
	b, err := d.DecodeBatch(raw)
	if err != nil {
		return nil, Head{}, err
	}
	for i := range b.Commits {
		if err := b.Commits[i].Validate(); err != nil {
			return nil, Head{}, fmt.Errorf("commit %d: %w: %w", b.Commits[i].Revision, ErrCorrupt, err)
		}
	}
	next, err := prev.Follow(b)
	if err != nil {
		return nil, Head{}, err
	}
	return b, next, nil
}
