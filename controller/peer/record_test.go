package peer

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"dvr/controller/service"
	"dvr/eventlog"
)

// TestRecordsCutAnywhere: whatever the pieces, the records are those written.
func TestRecordsCutAnywhere(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var stream []byte
	var want []request
	for i := range 300 {
		q := request{number: r.Uint64N(1 << uint(r.IntN(64))), round: uint64(i), floor: r.Uint64N(1 << 40), change: bytes.Repeat([]byte{byte(i)}, r.IntN(3000))}
		want = append(want, q)
		stream = appendRequest(stream, q)
	}
	for range 20 {
		var in records
		var got []request
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(1<<uint(r.IntN(16))))
			piece := bytes.Clone(rest[:n])
			if err := in.feed(piece, func(raw []byte) error {
				q, err := readRequest(raw)
				q.change = bytes.Clone(q.change)
				got = append(got, q)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			clear(piece) // a record is valid only during the call, and so is the piece
			rest = rest[n:]
		}
		if len(got) != len(want) {
			t.Fatalf("%d records of %d", len(got), len(want))
		}
		for i := range got {
			if got[i].number != want[i].number || got[i].round != want[i].round || got[i].floor != want[i].floor || !bytes.Equal(got[i].change, want[i].change) {
				t.Fatalf("record %d: %+v, want %+v", i, got[i], want[i])
			}
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, want := range []answer{
		{number: 1, verdict: stored, epoch: 3, revision: 1 << 40, replayed: true},
		{number: 7, verdict: stored, epoch: 3, revision: 9, noChange: true},
		{number: 8, verdict: stored, epoch: 3, revision: 9, remembered: true},
		{number: 1 << 60, verdict: refused, err: service.ErrPrecondition},
		{number: 2, verdict: refused, err: &eventlog.FieldError{Field: "events[3].metric", Reason: "is wrong"}},
		{number: 2, verdict: refused, err: &service.UnsupportedError{Field: "vrf"}},
		{number: 3, verdict: turned, err: fmt.Errorf("%w: elsewhere", service.ErrUnavailable)},
		{number: 4, verdict: unknown, err: service.ErrOutcomeUnknown},
		{number: 5, verdict: expired},
	} {
		var got answer
		var in records
		if err := in.feed(appendAnswer(nil, &want), func(raw []byte) (err error) { got, err = readAnswer(raw); return }); err != nil {
			t.Fatal(err)
		}
		if got.number != want.number || got.verdict != want.verdict || got.epoch != want.epoch || got.revision != want.revision || got.replayed != want.replayed || got.noChange != want.noChange || got.remembered != want.remembered || fmt.Sprint(got.err) != fmt.Sprint(want.err) {
			t.Errorf("%+v became %+v", want, got)
		}
	}
}

// FuzzRecords: what another node sends crashes nothing.
func FuzzRecords(f *testing.F) {
	f.Add(appendRequest(nil, request{number: 1, round: 2, floor: 3, change: []byte("x")}))
	f.Add(appendAnswer(nil, &answer{number: 7, verdict: refused, err: service.ErrNotFound}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var in records
		var reader service.ChangeReader
		_ = in.feed(raw, func(record []byte) error {
			if q, err := readRequest(record); err == nil {
				_, _ = reader.Read(q.change)
			}
			_, _ = readAnswer(record)
			return nil
		})
	})
}

// TestExpired: a change that was sent before is not executed where the
// idempotency window may not reach back to its first sending.
func TestExpired(t *testing.T) {
	c := newCluster(t, 2)
	ctx := testContext(t)
	if _, err := c.node("n2").service.PutRoute(ctx, mutation(""), route(1)); err != nil {
		t.Fatal(err)
	}
	x := c.node("n1").exchange
	if !x.remembers(0) || !x.remembers(1) || !x.remembers(uint64(x.forwarder.State().Position().Revision)) {
		t.Error("a short log is remembered whole")
	}
	f := c.node("n2").exchange.forwarder
	k := newCall(service.Change{})
	if !f.judge(k, &answer{verdict: expired}) || !errors.Is(k.err, service.ErrOutcomeUnknown) {
		t.Errorf("expired: %v", k.err)
	}
}
