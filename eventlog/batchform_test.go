package eventlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	zeros     = "0000000000000000000000000000000000000000000000000000000000000000"
	goodLine  = `{"format":1,"epoch":1,"first":2,"last":2,"commits":1,"by":"n","prev":"` + zeros + `"}` + "\n"
	goodStart = `{"revision":2,"id":"i","time":"2026-11-21T22:29:21.123Z","actor":"a"`
)

func TestBatchForm(t *testing.T) {
	tests := []struct {
		raw  string
		want error
		says string
	}{
		{goodLine + goodStart + `,"n":0}` + "\n", nil, ""},
		{goodLine + `{"n":0,"actor":"a","time":"2026-11-21T22:29:21.123Z","id":"i","revision":2}` + "\n", nil, ""},
		{goodLine + goodStart + `,"event":{"kind":"key.deleted","key":"k"},"n":1}` + "\n", nil, ""},
		{"", ErrCorrupt, "object"},
		{goodLine, ErrCorrupt, "object"},
		{goodLine + `{,"n":0` + strings.TrimPrefix(goodStart, "{") + "}\n", ErrCorrupt, ""},
		{goodLine + goodStart + `,"n":0}`, ErrCorrupt, "newline"},
		{goodLine + goodStart + `}` + "\n", ErrCorrupt, "n: is missing"},
		{goodLine + goodStart + `,"n":1}` + "\n", ErrCorrupt, "event"},
		{goodLine + goodStart + `,"n":1}` + "\n" + `{"kind":"key.deleted","key":"k"}` + "\n", ErrCorrupt, "event"},
		{goodLine + goodStart + `,"n":0,"event":{"kind":"key.deleted","key":"k"}}` + "\n", ErrCorrupt, "event"},
		{goodLine + goodStart + `,"n":2}` + "\n" + `{"kind":"key.deleted","key":"k"}` + "\n", ErrCorrupt, "n"},
		{goodLine + goodStart + `,"n":4097}` + "\n", ErrCorrupt, "4096"},
		{goodLine + goodStart + `,"n":0}` + "\n" + goodStart + `,"n":0}` + "\n", ErrCorrupt, "after its last commit"},
		{goodLine + goodStart + `,"n":0,"new":1}` + "\n", ErrLevel, "new"},
		{goodLine + goodStart + `,"n":0,"n":0}` + "\n", ErrCorrupt, "twice"},
		{goodLine + goodStart + `,"n":1,"event":{"kind":"new.kind"}}` + "\n", ErrLevel, "kind"},
		{goodLine + goodStart + `,"n":1,"event":{"kind":"key.deleted","key":""}}` + "\n", ErrCorrupt, "event.key"},
		{goodLine + strings.Replace(goodStart, `:2`, `:3`, 1) + `,"n":0}` + "\n", ErrCorrupt, "next one"},
		{goodLine + strings.Replace(goodStart, `"i"`, `"é"`, 1) + `,"n":0}` + "\n", ErrCorrupt, "ASCII"},
		{goodLine + goodStart + `,"request":"12","n":0}` + "\n", ErrCorrupt, "32 lower-case"},
		{goodLine + strings.Replace(goodStart, `"a"`, `""`, 1) + `,"n":0}` + "\n", ErrCorrupt, "actor"},
		{goodLine + strings.Replace(goodStart, `"a"`, `" a"`, 1) + `,"n":0}` + "\n", ErrCorrupt, "actor"},
		{goodLine + strings.Replace(goodStart, `2026-11-21T22:29:21.123Z`, `1970-01-01T00:00:00.000Z`, 1) + `,"n":0}` + "\n", ErrCorrupt, "time"},
		{strings.Replace(goodLine, `"format":1`, `"format":2`, 1) + goodStart + `,"n":0}` + "\n", ErrLevel, "format"},
		{strings.Replace(goodLine, `"commits":1`, `"commits":2`, 1) + goodStart + `,"n":0}` + "\n", ErrCorrupt, "last"},
		{strings.Replace(goodLine, `"first":2,"last":2,"commits":1`, `"first":2,"last":5000,"commits":4999`, 1), ErrCorrupt, "4096"},
		{strings.Replace(goodLine, `"epoch":1`, `"epoch":0`, 1), ErrCorrupt, "epoch"},
		{strings.Replace(goodLine, `"by":"n",`, ``, 1), ErrCorrupt, "by"},
	}
	for _, tt := range tests {
		var d Decoder
		_, err := d.DecodeBatch([]byte(tt.raw))
		if !errors.Is(err, tt.want) || tt.want != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %v with %q", strings.TrimPrefix(tt.raw, goodLine), err, tt.want, tt.says)
		}
	}
}

func TestBuilderLimits(t *testing.T) {
	prev := Head{Revision: 7, Epoch: 1, Level: 1}
	b := NewBatchBuilder(prev, "node-1")
	small := Commit{ID: "s", Time: sampleTime, Actor: "a"}
	for range MaxBatchCommits / 4 {
		if err := b.Add(&small); err != nil {
			t.Fatal(err)
		}
	}
	value := strings.Repeat("v", MaxValue)
	large := Commit{ID: "l", Time: sampleTime, Actor: "a", Events: []Event{&KeyPut{Key: "k", Value: value}}}
	for b.Bytes()+MaxValue+200 < MaxBatchBytes {
		if err := b.Add(&large); err != nil {
			t.Fatal(err)
		}
	}
	n, size, head := b.Len(), b.Bytes(), b.Head()
	large.Revision = 3
	if err := b.Add(&large); !errors.Is(err, ErrBatchFull) {
		t.Fatalf("a commit beyond the limit: %v", err)
	}
	if b.Len() != n || b.Bytes() != size || b.Head() != head || large.Revision != 3 {
		t.Fatal("a refused commit changed the batch or itself")
	}
	raw, _ := b.Finish()
	if _, _, err := VerifyBatch(raw, prev); err != nil {
		t.Fatal(err)
	}

	b.Reset(prev, "node-1") // alone in its batch a commit may be larger
	var keys []Event
	for i := range 10 {
		keys = append(keys, &KeyPut{Key: fmt.Sprint(i), Value: value})
	}
	if err := b.Add(&Commit{ID: "x", Time: sampleTime, Actor: "a", Events: keys}); err != nil {
		t.Fatal(err)
	}
	raw, next := b.Finish()
	if _, h, err := VerifyBatch(raw, prev); err != nil || h != next {
		t.Fatal(err)
	}
	if err := CheckAppend(prev, next, raw); err != nil {
		t.Fatal(err)
	}
	if err := b.Add(&small); !errors.Is(err, ErrBatchFull) {
		t.Fatalf("a commit beside a large one: %v", err)
	}
	b.Reset(prev, "node-1")
	if err := b.Add(&Commit{ID: "x", Time: sampleTime, Actor: "a", Events: append(append(keys, keys...), keys...)}); !errors.Is(err, ErrBatchFull) {
		t.Fatalf("a commit of 2 MiB: %v", err)
	}

	b.Reset(prev, "node-1")
	for range MaxBatchCommits {
		c := Commit{ID: "s", Time: 1, Actor: "a"}
		if err := b.Add(&c); err != nil {
			if !errors.Is(err, ErrBatchFull) || b.Bytes() < MaxBatchBytes-200 {
				t.Fatal(err)
			}
			break
		}
	}
}

func TestBuilderOrder(t *testing.T) {
	prev := Head{Revision: 7, Epoch: 1, Level: 1}
	b := NewBatchBuilder(prev, "node-1")
	add := func(ms int64, events ...Event) error {
		return b.Add(&Commit{ID: "x", Time: ms, Actor: "a", Events: events})
	}
	if err := add(1000); err != nil {
		t.Fatal(err)
	}
	var f *FieldError
	if err := add(999); !errors.As(err, &f) || f.Field != "time" {
		t.Fatalf("a time before: %v", err)
	}
	if err := add(500, &ClockStepped{From: 1000, To: 500}); err != nil {
		t.Fatal(err)
	}
	epoch := &EpochStarted{Epoch: 2, LogID: "l", Nonce: Nonce{9}, Cause: CauseRecovered, From: &EpochOrigin{Epoch: 1, Revision: 7}}
	if err := add(600, epoch); !errors.Is(err, ErrBatchFull) {
		t.Fatalf("an epoch within a batch: %v", err)
	}
	if err := add(600, &LevelRaised{Level: 2}); err != nil {
		t.Fatal(err)
	}
	raw, next := b.Finish()
	if next.Level != 2 || next.Epoch != 1 {
		t.Fatalf("head %+v", next)
	}
	if _, h, err := VerifyBatch(raw, prev); err != nil || h != next {
		t.Fatalf("%+v, %v", h, err)
	}
	b.Reset(next, "node-1")
	if err := add(1, epoch); err != nil {
		t.Fatal(err)
	}
	raw, last := b.Finish()
	if last.Epoch != 2 || last.Nonce != (Nonce{9}) || last.Level != 2 {
		t.Fatalf("head %+v", last)
	}
	if _, h, err := VerifyBatch(raw, next); err != nil || h != last {
		t.Fatalf("%+v, %v", h, err)
	}
	for what, h := range map[string]Head{
		"hole":    {Revision: next.Revision - 1, Epoch: 1, Hash: next.Hash},
		"overlap": {Revision: next.Revision + 1, Epoch: 1, Hash: next.Hash},
		"chain":   {Revision: next.Revision, Epoch: 1, Hash: Hash{1}},
		"epoch":   {Revision: next.Revision, Epoch: 2, Hash: next.Hash},
	} {
		_, _, err := VerifyBatch(raw, h)
		want := ErrCorrupt
		if what == "hole" {
			want = ErrHole
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
}

// TestEncodedEqualsPlain: both ways to write a commit give the same bytes.
func TestEncodedEqualsPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(rapid.SampledFrom(samples()), 0, 5).Draw(t, "events")
		c := Commit{Revision: 3, ID: "i", Time: sampleTime, Actor: "a", Events: events}
		var encoded [][]byte
		for _, e := range events {
			encoded = append(encoded, AppendEvent(nil, e))
		}
		if a, b := AppendCommit(nil, &c), AppendCommitEncoded(nil, &c, encoded); !bytes.Equal(a, b) {
			t.Fatalf("%s\n%s", a, b)
		}
	})
}

func TestHeadForm(t *testing.T) {
	want := Head{Revision: 14, Epoch: 2, Nonce: Nonce{1}, Hash: Hash{2}, Level: 3}
	b := AppendHead(nil, want)
	if got, err := DecodeHead(b); err != nil || got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	lenient := append(bytes.Clone(b[:len(b)-1]), `,"new":{"a":[1,-2.5e3,null,true,"x"],"b":{}}}`...)
	if got, err := DecodeHead(lenient); err != nil || got != want {
		t.Fatalf("an unknown member: %+v, %v", got, err)
	}
	deep := append(bytes.Clone(b[:len(b)-1]), `,"new":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`}`...)
	for _, bad := range [][]byte{nil, b[:len(b)-1], append(bytes.Clone(b), 'x'), []byte(`{}`), deep} {
		if _, err := DecodeHead(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%.80s: %v, want ErrCorrupt", bad, err)
		}
	}
}

func TestTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(0, MaxTime).Draw(t, "ms")
		want := time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
		if got := string(AppendTime(nil, ms)); got != want {
			t.Fatalf("%d is written %s, want %s", ms, got, want)
		}
		if got, ok := ParseTime([]byte(want)); !ok || got != ms {
			t.Fatalf("%s is read %d, want %d", want, got, ms)
		}
	})
	for _, bad := range []string{
		"", "2026-02-29T00:00:00.000Z", "1969-12-31T23:59:59.999Z", "2026-13-01T00:00:00.000Z", "2026-00-01T00:00:00.000Z",
		"2026-01-00T00:00:00.000Z", "2026-01-01T24:00:00.000Z", "2026-01-01T00:60:00.000Z", "2026-01-01T00:00:60.000Z",
		"2026-01-01 00:00:00.000Z", "2026-01-01T00:00:00,000Z", "2026-01-01T00:00:00.000z", "2026-01-01T00:00:00.0a0Z",
		"2026-01-01T00:00:00.a00Z", "202a-01-01T00:00:00.000Z", "2026-04-31T00:00:00.000Z", "2100-02-29T00:00:00.000Z",
	} {
		if ms, ok := ParseTime([]byte(bad)); ok {
			t.Errorf("%q is read as %d", bad, ms)
		}
	}
	if _, ok := ParseTime([]byte("2000-02-29T00:00:00.000Z")); !ok {
		t.Error("the leap day of 2000 is refused")
	}
}

// TestIndependence: nothing decoded lies in the bytes it came from.
func TestIndependence(t *testing.T) {
	raw, _, _, commits := sampleBatch(t)
	var d Decoder
	copied := bytes.Clone(raw)
	b, err := d.DecodeBatch(copied)
	if err != nil {
		t.Fatal(err)
	}
	for i := range copied {
		copied[i] = 'x'
	}
	if _, err := d.DecodeBatch(raw); err != nil { // overwrites what d reuses
		t.Fatal(err)
	}
	for i := range commits {
		if got, want := AppendCommit(nil, &b.Commits[i]), AppendCommit(nil, &commits[i]); !bytes.Equal(got, want) {
			t.Fatalf("commit %d became\n%s\nwant\n%s", i, got, want)
		}
	}
}

func TestRouteBody(t *testing.T) {
	for _, e := range samples() {
		r, ok := e.(*RouteAnnounced)
		if !ok {
			continue
		}
		body := AppendRouteBody(nil, r)
		if bytes.Contains(body, []byte("destination")) || !json.Valid(body) {
			t.Errorf("body %s", body)
		}
		got, err := DecodeRouteBody(body)
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		got.Destination = r.Destination
		if a, b := AppendEvent(nil, &got), AppendEvent(nil, r); !bytes.Equal(a, b) {
			t.Errorf("%s, want %s", a, b)
		}
		if _, err := DecodeRouteBody(AppendEvent(nil, r)); err == nil {
			t.Errorf("a body with a destination is accepted")
		}
	}
	if _, err := DecodeRouteBody([]byte(`{"kind":"key.deleted","key":"k"}`)); err == nil {
		t.Error("a body that is no route is accepted")
	}
}

func TestStageForm(t *testing.T) {
	events := benchRoutes(10000)
	s, parts, err := EncodeStage("import-7", events)
	if err != nil {
		t.Fatal(err)
	}
	if s.Parts != len(parts) || s.Parts < 3 || s.Events != len(events) {
		t.Fatalf("%+v with %d parts", s, len(parts))
	}
	for _, p := range parts {
		if len(p) > MaxStagePart {
			t.Fatalf("a part of %d bytes", len(p))
		}
	}
	lines := bytes.Join(parts, nil)
	got, err := DecodeStage(s, lines)
	if err != nil || !bytes.Equal(AppendEventLines(nil, got), lines) {
		t.Fatalf("%d events, %v", len(got), err)
	}
	refused := errors.New("refused")
	given := 0
	if _, err := EncodeStageTo("import-7", events, func(number int, part []byte) error {
		if !bytes.Equal(part, parts[number]) || number != given {
			t.Errorf("part %d is another", number)
		}
		if given++; given == 2 {
			return refused
		}
		return nil
	}); err != refused || given != 2 {
		t.Errorf("%v after %d parts", err, given)
	}
	lines[len(lines)/2] ^= 1
	if _, err := DecodeStage(s, lines); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a changed part: %v", err)
	}
	for id, list := range map[string][]Event{"": events[:1], "a/b": events[:1], "x": nil} {
		if _, _, err := EncodeStage(id, list); err == nil {
			t.Errorf("id %q with %d events is accepted", id, len(list))
		}
	}
	if _, err := DecodeEvents([]byte(`{"kind":"key.deleted","key":"k"}`)); err == nil {
		t.Error("a line without end is accepted")
	}
	_, err = DecodeEvents([]byte(`{"kind":"key.deleted","key":"k"}` + "\n" + `{"kind":"key.deleted","key":""}` + "\n"))
	var f *FieldError
	if !errors.As(err, &f) || f.Field != "events[1].key" {
		t.Errorf("a bad line: %v", err)
	}
}

// A stage that holds a stage could never be folded, and one that moves epoch,
// level or clock would do so behind the head's back.
func TestStageRefusesWhatMustNotBeStaged(t *testing.T) {
	put := &KeyPut{Key: "k", Value: "v"}
	inner, _, err := EncodeStage("inner", []Event{put})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Event{
		inner, &EpochStarted{Epoch: 2, LogID: "l", Cause: CauseCreated}, &LevelRaised{Level: 1}, &ClockStepped{From: 2, To: 1},
	} {
		events := []Event{put, e}
		var f *FieldError
		if _, _, err := EncodeStage("x", events); !errors.As(err, &f) || f.Field != "events[1].kind" {
			t.Errorf("%s is encoded: %v", e.Kind(), err)
		}
		lines := AppendEventLines(nil, events)
		s := &CommitStaged{ID: "x", Parts: 1, Events: 2, Bytes: int64(len(lines)), SHA256: sha256.Sum256(lines)}
		if _, err := DecodeStage(s, lines); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s is decoded: %v", e.Kind(), err)
		}
	}
	if _, _, err := EncodeStage("x", []Event{put, &ConfirmationOpened{Deadline: 5}}); err != nil {
		t.Error(err)
	}
}

// FuzzDecodeBatch: no panic, and what is accepted is stable when written again.
func FuzzDecodeBatch(f *testing.F) {
	raw, _, _, _ := sampleBatch(f)
	f.Add(raw)
	f.Add([]byte(goodLine + goodStart + `,"n":0}` + "\n"))
	f.Add([]byte(goodLine + goodStart + `,"event":{"kind":"key.deleted","key":"k"},"n":1}` + "\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var d Decoder
		b, err := d.DecodeBatch(raw)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrLevel) {
				t.Fatal(err)
			}
			return
		}
		prev := Head{Revision: b.First() - 1, Epoch: b.Epoch, Hash: b.Prev}
		if b.Commits[0].epochStarted() != nil {
			prev.Epoch--
		}
		builder := NewBatchBuilder(prev, b.By)
		for i := range b.Commits {
			if err := builder.Add(&b.Commits[i]); err != nil {
				return // spaces were what made it fit
			}
		}
		once, next := builder.Finish()
		again, err := d.DecodeBatch(once)
		if err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		if again.Hash != next.Hash || again.Last() != b.Last() {
			t.Fatalf("%q is read otherwise than it was written", once)
		}
		if bytes.Equal(once, raw) && again.Hash != b.Hash {
			t.Fatal("equal bytes, different hashes")
		}
	})
}

// TestReusedDecoder: what a decoder remembers of the commits before changes
// nothing that it finds in the next ones.
func TestReusedDecoder(t *testing.T) {
	const line = goodStart + `,"n":1,"event":{"kind":"key.deleted","key":"k"}}`
	changed := func(old, new string) string { return strings.Replace(line, old, new, 1) }
	lines := []string{
		line,
		changed(`"actor":"a"`, `"actor":"b"`),
		changed(`"actor":"a"`, `"actor":""`),
		changed(`"actor":"a"`, `"actor":" a"`),
		changed(`"actor":"a"`, `"actor":"a\u0001"`),
		changed(`"actor":"a"`, `"actor":"`+strings.Repeat("a", MaxActor+1)+`"`),
		changed(`"actor":"a"`, `"actor":"a","actor":"a"`),
		changed(`"actor":"a"`, `"actor":"a","source":"a b"`),
		changed(`"actor":"a"`, `"actor":"a","source":"\u0001"`),
		changed(`"actor":"a"`, `"actor":"a","reason":"\u0001"`),
		changed(`,"actor":"a"`, ``),
		changed(`"id":"i"`, `"id":""`),
		changed(`"id":"i"`, `"id":"\u0069"`),
		changed(`"id":"i"`, `"id":"i","id":"j"`),
		changed(`"id":"i",`, ``),
		changed(`,"id":"i"`, ` ,"id": "i"`),
		changed(`2026-11-21T22:29:21.123Z`, `2026-11-21T22:29:21.124Z`),
		changed(`2026-11-21T22:29:21.123Z`, `2026-11-21T22:29:61.123Z`),
		changed(`2026-11-21T22:29:21.123Z`, `2026-11-21T22:29:21.123`),
		changed(`2026-11-21T22:29:21.123Z`, `1970-01-01T00:00:00.000Z`),
		changed(`2026-11-21T22:29:21.123Z"`, `2026-11-21T22:29:21.123Z","time":"2026-11-21T22:29:21.123Z"`),
		changed(`2026-11-21T22:29:21.123Z`, `\u0032026-11-21T22:29:21.123Z`),
		changed(`"time":"2026-11-21T22:29:21.123Z",`, ``),
		changed(`"revision":2,`, `"revision":2,"revision":2,`),
		changed(`"revision":2,`, `"revision":"2",`),
		changed(`"revision":2,`, ``),
		changed(`"n":1,`, `"n":1,"n":1,`),
		changed(`"n":1,`, ``),
		changed(`"n":1`, `"n":0`),
		changed(`"event":{`, `"event":{},"event":{`),
		changed(`"k"`, `""`),
		changed(`}}`, `},"n":1}`),
		changed(`}}`, `},"new":1}`),
		changed(`}}`, `}`),
		changed(`,"n"`, `"n"`),
		"", "{", "{}", `{"revision":2`, goodStart, goodStart + `,"n":`,
	}
	var d Decoder
	for _, first := range lines {
		for _, second := range lines {
			want, wantErr := new(Decoder).DecodeBatch([]byte(goodLine + second + "\n"))
			_, _ = d.DecodeBatch([]byte(goodLine + first + "\n")) // what is wrong in it does not matter here
			got, err := d.DecodeBatch([]byte(goodLine + second + "\n"))
			if fmt.Sprint(err) != fmt.Sprint(wantErr) || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) && (got == nil || want == nil ||
				got.Hash != want.Hash || !bytes.Equal(AppendCommit(nil, &got.Commits[0]), AppendCommit(nil, &want.Commits[0]))) {
				t.Fatalf("%s\nafter %s\n%+v, %v\nwant %+v, %v", second, first, got, err, want, wantErr)
			}
		}
	}
}
