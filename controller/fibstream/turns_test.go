package fibstream

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/controller/fibstream/fibtest"
)

// One data plane that takes nothing of its full table keeps others from theirs for
// no longer than its turn.
func TestFullTablesTakeTurns(t *testing.T) {
	s := newSource(t, logA, 1)
	s.commit(t, manyRoutes(4000)...)
	t.Run("a turn is taken", func(t *testing.T) {
		h := start(t, s, Options{ChunkBytes: 8 << 10, FullTables: 1, Turn: time.Hour})
		slow, other := fibtest.NewPlane("r1", "i"), fibtest.NewPlane("r2", "i")
		stream := begin(t, h, slow)
		h.connect(t, other, nil)
		h.waits(t, 1)
		if n, _, _ := other.Counts(); n != 0 {
			t.Fatalf("%d acks of one whose turn it is not", n)
		}
		stream.Cut()
		h.synced(t, other)
		if n := h.waiting(t); n != 0 {
			t.Errorf("%v wait for a turn", n)
		}
	})
	t.Run("a turn ends", func(t *testing.T) {
		h := start(t, s, Options{ChunkBytes: 8 << 10, FullTables: 1, Turn: time.Millisecond})
		slow, other := fibtest.NewPlane("r1", "i"), fibtest.NewPlane("r2", "i")
		defer begin(t, h, slow).Cut()
		h.connect(t, other, nil)
		h.synced(t, other)
	})
	t.Run("who waits may go", func(t *testing.T) {
		h := start(t, s, Options{ChunkBytes: 8 << 10, FullTables: 1, Turn: time.Hour})
		slow, gone, other := fibtest.NewPlane("r1", "i"), fibtest.NewPlane("r2", "i"), fibtest.NewPlane("r3", "i")
		stream := begin(t, h, slow)
		cut := h.connect(t, gone, nil)
		h.waits(t, 1)
		h.connect(t, other, nil)
		h.waits(t, 2)
		cut()
		h.waits(t, 1)
		stream.Cut()
		h.synced(t, other)
	})
}

// TestWhoWaitsIsServed: a data plane that waits for its first table is told and
// asked all else; one that waits to be repaired is sent what changes, too, and is
// repaired when its turn comes.
func TestWhoWaitsIsServed(t *testing.T) {
	s := newSource(t, logA, 1)
	s.commit(t, manyRoutes(4000)...)
	h := start(t, s, Options{ChunkBytes: 8 << 10, FullTables: 1, Turn: time.Hour})
	wrong, slow, fresh := fibtest.NewPlane("r1", "i"), fibtest.NewPlane("r2", "i"), fibtest.NewPlane("r3", "i")
	h.connect(t, wrong, nil)
	h.synced(t, wrong)
	h.acked(t, "r1")
	stream := begin(t, h, slow)

	wrong.Spoil(true, true)
	s.commit(t, route("*", "172.16.0.0/16", "192.168.0.9", 5))
	h.waits(t, 1)
	told := make(chan struct{})
	newcomer, err := fresh.Connect(h.ctx, h.dial(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer newcomer.Cut()
	ended := make(chan error, 1)
	go func() {
		told := told
		for {
			m, err := newcomer.Receive()
			if err == nil && m.GetDelta() != nil {
				err = errors.New("it was sent a table")
			}
			if err != nil {
				ended <- err
				return
			}
			if m.GetControllers() != nil && told != nil {
				close(told)
				told = nil
			}
		}
	}()
	h.waits(t, 2)

	h.server.SetControllers([]string{"a:1", "b:1"})
	select {
	case <-told:
	case err := <-ended:
		t.Fatal(err)
	case <-h.ctx.Done():
		t.Fatal("who waits for a table is not told where the controllers are")
	}
	if _, err := h.server.Lookup(h.ctx, "r3", netip.MustParseAddr("10.0.0.1")); !errors.Is(err, ErrNotFound) {
		t.Errorf("asked while it waits for its table: %v", err)
	}
	for i := range 2 * maxControls { // more than a stream that sends nothing keeps
		destination := fmt.Sprintf("172.17.%d.0/24", i)
		s.commit(t, route("*", destination, "192.168.0.9", 5))
		if err := wrong.Await(h.ctx, func() bool { return wrong.Holds(prefix(destination)) }); err != nil {
			t.Fatalf("what changes is not sent to one that waits to be repaired: %v", err)
		}
		a, err := h.server.Lookup(h.ctx, "r1", prefix(destination).Addr())
		if err != nil || a.Prefix != prefix(destination) {
			t.Fatalf("asked while it waits to be repaired: %+v, %v", a, err)
		}
	}
	if _, fulls, _ := wrong.Counts(); fulls != 1 || h.waiting(t) != 2 {
		t.Fatalf("%d full tables though it is not its turn; %v wait", fulls, h.waiting(t))
	}
	newcomer.Cut()
	if err := <-ended; status.Code(err) != codes.Canceled {
		t.Error(err)
	}
	stream.Cut()
	if err := wrong.Await(h.ctx, func() bool { _, fulls, _ := wrong.Counts(); return fulls == 2 }); err != nil {
		t.Fatalf("it is never repaired: %v", err)
	}
	h.synced(t, wrong)
	h.waits(t, 0)
}

// waiting is how many data planes wait for a turn, as the metric says.
func (h *harness) waiting(t *testing.T) float64 {
	t.Helper()
	return valueOf(t, h.server.measures.waiting)
}

func valueOf(t testing.TB, g prometheus.Gauge) float64 {
	t.Helper()
	var m dto.Metric
	if err := g.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetGauge().GetValue()
}

// waits returns when n data planes wait for a turn.
func (h *harness) waits(t *testing.T, n float64) {
	t.Helper()
	for h.waiting(t) != n {
		if h.ctx.Err() != nil {
			t.Fatalf("%v wait for a turn, want %v", h.waiting(t), n)
		}
		runtime.Gosched()
	}
}

// begin connects p and takes the first chunk of its table, for which it has credit, and no more.
func begin(t *testing.T, h *harness, p *fibtest.Plane) *fibtest.Stream {
	t.Helper()
	p.Credit = 1
	stream, err := p.Connect(h.ctx, h.dial(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.Receive(); err != nil || m.GetDelta() == nil || m.GetDelta().GetEnd() {
		t.Fatalf("%v, %v", m, err)
	}
	return stream
}

// TestTurns: whatever is asked for, given back and left to expire, no more turns
// count than there are, they are given in order, whoever was given one is poked,
// and none is lost.
func TestTurns(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) { playTurns(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func playTurns(t *testing.T, random *rand.Rand) {
	const length = time.Minute
	type holder struct {
		*turn
		pokes atomic.Int32
		given atomic.Int64 // when, in ns; 0: it waits
		at    int
	}
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "waiting"})
	free := 1 + random.IntN(3)
	q := newTurns(free, length, gauge)
	var all []*holder
	asked := 0
	check := func() {
		counting, waiting := 0, 0
		for _, h := range all {
			if !h.mine() {
				waiting++
				continue
			}
			if i := slices.IndexFunc(all, func(o *holder) bool { return o.at < h.at && !o.mine() }); i >= 0 {
				t.Fatalf("turn %d was given before turn %d", h.at, all[i].at)
			}
			if h.given.Load() == 0 || h.pokes.Load() > 1 {
				t.Fatalf("turn %d was given with %d pokes", h.at, h.pokes.Load())
			}
			if time.Since(time.Unix(0, h.given.Load())) < length {
				counting++
			}
		}
		if counting > free || waiting > 0 && counting < free {
			t.Fatalf("%d of %d turns are given, %d wait", counting, free, waiting)
		}
		var m dto.Metric
		if err := gauge.Write(&m); err != nil || m.GetGauge().GetValue() != float64(waiting) {
			t.Fatalf("%v are said to wait, %d do: %v", m.GetGauge().GetValue(), waiting, err)
		}
	}
	for range 1 + random.IntN(60) {
		switch what := random.IntN(5); {
		case what < 2 || len(all) == 0:
			h := &holder{at: asked}
			h.turn = q.ask(func() {
				h.pokes.Add(1)
				h.given.Store(time.Now().UnixNano())
			})
			if h.mine() {
				h.given.Store(time.Now().UnixNano())
			}
			all = append(all, h)
			asked++
		case what < 4:
			i := random.IntN(len(all))
			all[i].end()
			all[i].end() // means nothing
			all = slices.Delete(all, i, i+1)
		default:
			time.Sleep(time.Duration(1+random.IntN(90)) * time.Second)
			synctest.Wait()
		}
		check()
	}
	for _, h := range all {
		h.end()
	}
	if q.free != free || q.queue.Len() != 0 {
		t.Fatalf("%d of %d turns are back, %d wait", q.free, free, q.queue.Len())
	}
	var none *turn
	none.end()
}
