package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"dvr/eventlog"
	"dvr/projector"
)

func TestCutWithdraw(t *testing.T) {
	for line, want := range map[string]string{
		`{"withdraw":true,"destination":"x"}`:                 `{"destination":"x"}`,
		`{"destination":"x","withdraw":true}`:                 `{"destination":"x"}`,
		`{"destination":"x", "withdraw" : true , "a":1}`:      `{"destination":"x","a":1}`,
		`{"withdraw":true}`:                                   `{}`,
		`{"tags":["withdraw"],"withdraw":true}`:               `{"tags":["withdraw"]}`,
		`{"tags":["withdraw"]}`:                               "",
		`{"destination":"x","withdraw":true,"withdraw":true}`: `{"destination":"x","withdraw":true}`,
	} {
		got, found, err := cutWithdraw([]byte(line))
		if err != nil || found != (want != "") {
			t.Errorf("%s: %v, %v", line, found, err)
			continue
		}
		if found && strings.ReplaceAll(string(got), " ", "") != want {
			t.Errorf("%s: %s", line, got)
		}
	}
	for _, line := range []string{
		`{"withdraw":false}`, `{"withdraw":1}`, `{"withdraw":null}`,
		`{"destination":"x" "withdraw":true}`, `{"withdraw":true"destination":"x"}`, `{"destination":"x" "withdraw":true,"a":1}`,
		`{"destination":"x","withdraw":true "a":1}`, `{"withdraw":truely}`, `{"withdraw":true`, `"withdraw":true}`,
	} {
		if _, _, err := cutWithdraw([]byte(line)); err == nil {
			t.Errorf("%s: accepted", line)
		}
	}
}

// FuzzImportLine: any line gives a well-formed route event, whose stored form
// is read alike, or an error.
func FuzzImportLine(f *testing.F) {
	for _, s := range []string{
		`{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`, `{"withdraw":true,"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`,
		`{"kind":"route.withdrawn","destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`, `{}`, `{`, `{"withdraw":tru`, `{"tags":["kind"]}`,
		`{"destination":"10.1.0.0/16","next_hop":"192.0.2.1" "withdraw":true}`, `{"withdraw":true"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		line = []byte(strings.TrimSpace(strings.ReplaceAll(string(line), "\n", "")))
		if len(line) == 0 {
			return
		}
		var i importer
		e, err := i.decode(line)
		if err != nil {
			return
		}
		if !jsontext.Value(line).IsValid() {
			t.Fatalf("%q is no JSON and was taken for %s", line, eventlog.AppendEvent(nil, e))
		}
		if err := e.Validate(); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		stored := eventlog.AppendEvent(nil, e)
		again, err := i.decode(stored)
		if err != nil || string(eventlog.AppendEvent(nil, again)) != string(stored) {
			t.Fatalf("%q: %s does not come back: %v", line, stored, err)
		}
	})
}

// TestImportEqualsOneByOne: whatever the lines, an import leaves the state
// that the same lines leave when they are committed one by one, in any cut of
// the input over two calls under one key.
func TestImportEqualsOneByOne(t *testing.T) {
	line := rapid.Custom(func(t *rapid.T) string {
		d, hop := rapid.IntRange(0, 5).Draw(t, "destination"), rapid.IntRange(1, 3).Draw(t, "hop")
		if rapid.IntRange(0, 2).Draw(t, "withdraw") == 0 {
			return fmt.Sprintf(`{"withdraw":true,"destination":"10.%d.0.0/16","next_hop":"192.0.2.%d"}`, d, hop)
		}
		return fmt.Sprintf(`{"destination":"10.%d.0.0/16","next_hop":"192.0.2.%d","metric":%d}`, d, hop, rapid.IntRange(0, 3).Draw(t, "metric"))
	})
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		list := rapid.SliceOfN(line, 1, 60).Draw(rt, "lines")
		one, _ := newService(t)
		var i importer
		for _, l := range list {
			e, err := i.decode([]byte(l))
			if err != nil {
				rt.Fatal(err)
			}
			if _, err := one.Commit(ctx, &Mutation{Actor: "a"}, []eventlog.Event{e}); err != nil {
				rt.Fatal(err)
			}
		}
		all, _ := newService(t)
		text := strings.Join(list, "\n")
		cut := rapid.IntRange(0, len(text)).Draw(rt, "cut")
		_, _ = all.Import(ctx, &Mutation{Actor: "a", ID: "k"}, io.MultiReader(strings.NewReader(text[:cut]), failing{}))
		got, err := all.Import(ctx, &Mutation{Actor: "a", ID: "k"}, strings.NewReader(text))
		if err != nil || got.Accepted != len(list) {
			rt.Fatalf("%d of %d, %v", got.Accepted, len(list), err)
		}
		if a, b := routes(one.appender.State()), routes(all.appender.State()); a != b {
			rt.Fatalf("one by one:\n%s\nimported:\n%s", a, b)
		}
	})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("cut") }

func routes(st *projector.State) string {
	var b []byte
	for d := range st.Destinations(netip.Prefix{}, netip.Prefix{}) {
		for i := range d.Candidates {
			b = append(eventlog.AppendEvent(b, &d.Candidates[i].RouteAnnounced), '\n')
		}
	}
	return string(b)
}

// TestImportUnderBackPressure: a queue that is full makes an import wait, not fail.
func TestImportUnderBackPressure(t *testing.T) {
	s, _ := newService(t)
	s.appender = &stubborn{Appender: s.appender, refuse: 7}
	var b strings.Builder
	for i := range 3 * ChunkEvents {
		fmt.Fprintf(&b, "{\"destination\":\"10.%d.%d.0/24\",\"next_hop\":\"192.0.2.1\"}\n", i/256, i%256)
	}
	got, err := s.Import(context.Background(), &Mutation{Actor: "a", Timeout: time.Minute}, strings.NewReader(b.String()))
	if err != nil || got.Accepted != 3*ChunkEvents || got.First != 2 || got.Last != 4 {
		t.Errorf("%+v, %v", got, err)
	}
}

// stubborn refuses the first submissions for back pressure.
type stubborn struct {
	Appender
	refuse int
}

func (s *stubborn) Submit(c Change) (Submitted, error) {
	if s.refuse > 0 {
		s.refuse--
		return nil, fmt.Errorf("%w: the queue is full", ErrOverloaded)
	}
	return s.Appender.Submit(c)
}

// late finds fault with the first line of the first chunk when it is waited
// for: by then the second one is stored.
type late struct {
	Appender
	submitted int
}

type lateChunk struct {
	Submitted
	err error
}

func (l lateChunk) Wait(ctx context.Context) (Appended, error) {
	if l.err != nil {
		return Appended{}, l.err
	}
	return l.Submitted.Wait(ctx)
}

func (l *late) Submit(c Change) (Submitted, error) {
	if l.submitted++; l.submitted == 1 {
		return lateChunk{err: &eventlog.FieldError{Field: "events[0].router", Reason: "is refused by the state"}}, nil
	}
	s, err := l.Appender.Submit(c)
	return lateChunk{Submitted: s}, err
}

// TestImportTellsItsWholeRange: also where a chunk had to be sent again.
func TestImportTellsItsWholeRange(t *testing.T) {
	s, _ := newService(t)
	s.appender = &late{Appender: s.appender}
	var b strings.Builder
	for i := range ChunkEvents + 1 {
		fmt.Fprintf(&b, "{\"destination\":\"10.%d.%d.0/24\",\"next_hop\":\"192.0.2.1\"}\n", i/256, i%256)
	}
	got, err := s.Import(context.Background(), &Mutation{Actor: "a"}, strings.NewReader(b.String()))
	if err != nil || got.Accepted != ChunkEvents || got.RefusedCount != 1 || got.First != 2 || got.Last != 3 || got.Position.Revision != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestImportOfAnEndedCaller ends with the id under which it may be resumed.
func TestImportOfAnEndedCaller(t *testing.T) {
	s, log := newService(t)
	release := log.Faults().HoldAppends()
	defer release()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	got, err := s.Import(ctx, &Mutation{Actor: "a"}, strings.NewReader(`{"destination":"10.0.0.0/8","next_hop":"192.0.2.1"}`))
	var m *MutationError
	if !errors.As(err, &m) || m.ID != got.Key || len(got.Key) != 26 || got.Accepted != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if !errors.Is(err, ErrOutcomeUnknown) && !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// TestImportOfALateBody: the store has confirmed all that came, so it is not
// blamed; where it has not, it is.
func TestImportOfALateBody(t *testing.T) {
	var b strings.Builder
	for i := range ChunkEvents + 1 {
		fmt.Fprintf(&b, "{\"destination\":\"10.%d.%d.0/24\",\"next_hop\":\"192.0.2.1\"}\n", i/256, i%256)
	}
	s, _ := newService(t)
	got, err := s.Import(context.Background(), &Mutation{Actor: "a", ID: "k"}, io.MultiReader(strings.NewReader(b.String()), tardy{}))
	if !errors.Is(err, ErrBodyLate) || errors.Is(err, ErrOutcomeUnknown) || got.Accepted != ChunkEvents || got.Last != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if text := fmt.Sprint(err); !strings.Contains(text, "1000 routes are stored, the last at revision 2") || !strings.Contains(text, "Idempotency-Key: k ") || !strings.Contains(text, "to line 1001,") {
		t.Error(text)
	}
	slow, log := newService(t)
	release := log.Faults().HoldAppends()
	defer release()
	if _, err := slow.Import(context.Background(), &Mutation{Actor: "a"}, io.MultiReader(strings.NewReader(b.String()), tardy{})); errors.Is(err, ErrBodyLate) || err == nil {
		t.Errorf("%v", err)
	}
}

// tardy is a connection whose read deadline has passed.
type tardy struct{}

func (tardy) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// TestImportKeepsTheOrder: also behind a removal that only the state refuses.
func TestImportKeepsTheOrder(t *testing.T) {
	s, _ := newService(t)
	lines := []string{
		`{"kind":"router.set","router":"r2"}`,
		`{"destination":"10.0.0.0/8","next_hop":"192.0.2.1","router":"r2"}`,
		`{"destination":"10.1.0.0/16","next_hop":"192.0.2.1","metric":1}`,
		`{"kind":"router.set","router":"r3"}`,
		`{"kind":"router.removed","router":"r2"}`,
		`{"kind":"router.removed","router":"r3"}`,
		`{"destination":"10.1.0.0/16","next_hop":"192.0.2.1","metric":7}`,
	}
	got, err := s.Import(context.Background(), &Mutation{Actor: "a", ID: "k"}, strings.NewReader(strings.Join(lines, "\n")))
	if err != nil || got.Accepted != 6 || got.RefusedCount != 1 || got.Refused[0].Line != 5 || got.First != 2 || got.Last != 4 {
		t.Errorf("%+v, %v", got, err)
	}
	st := s.appender.State()
	if text := routes(st); !strings.Contains(text, `"metric":7`) || strings.Contains(text, `"metric":1`) {
		t.Errorf("the last line did not win:\n%s", text)
	}
	_, kept := st.Router("r2")
	if _, left := st.Router("r3"); !kept || left {
		t.Errorf("r2 %v, r3 %v", kept, left)
	}
}

// TestImportThatFailsCountsWhatIsStored: also what was in flight behind the
// chunk that failed.
func TestImportThatFailsCountsWhatIsStored(t *testing.T) {
	s, _ := newService(t)
	text := func(n, hop int) string {
		var b strings.Builder
		for i := range n {
			if i == ChunkEvents {
				hop++ // another second chunk
			}
			fmt.Fprintf(&b, "{\"destination\":\"10.%d.%d.0/24\",\"next_hop\":\"192.0.2.%d\"}\n", i/256, i%256, hop)
		}
		return b.String()
	}
	if got, err := s.Import(context.Background(), &Mutation{Actor: "a", ID: "k"}, strings.NewReader(text(ChunkEvents+200, 1))); err != nil || got.Last != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	got, err := s.Import(context.Background(), &Mutation{Actor: "a", ID: "k"}, strings.NewReader(text(2*ChunkEvents+500, 1)))
	if !errors.Is(err, ErrIDReused) || got.Accepted != ChunkEvents+500 || got.Last != 4 || s.Position().Revision != 4 {
		t.Errorf("%+v, %v, at %d", got, err, s.Position().Revision)
	}
}
