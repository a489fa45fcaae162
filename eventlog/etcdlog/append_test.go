package etcdlog

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"dvr/eventlog"
)

func TestOpenRaces(t *testing.T) {
	f := &fixture{TB: t, ctx: testContext(t), space: newSpace(), incidents: &incidents{}}
	f.raw = within(inProcess(t, shared), f.space)
	const n = 8
	logs := make([]*Log, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { logs[i], _, _ = f.open() })
	}
	group.Wait()
	for _, l := range logs {
		if l.ID() != logs[0].ID() || l.ID() == "" {
			t.Fatalf("ids %q and %q", l.ID(), logs[0].ID())
		}
		head, err := l.Head(f.ctx)
		if err != nil || head.Revision != 1 {
			t.Fatalf("head %+v, %v", head, err)
		}
	}
	if got := f.mustRevisions(logs[0], 0); !cmp.Equal(got, []eventlog.Revision{1}) {
		t.Fatalf("batches %v", got)
	}
}

func TestOpenRefusesWhatItDoesNotKnow(t *testing.T) {
	for name, c := range map[string]struct {
		meta string
		want error
	}{
		"newer format": {`{"format":2,"log_id":"x"}`, eventlog.ErrLevel},
		"garbage":      {`garbage`, eventlog.ErrCorrupt},
		"no id":        {`{"format":1}`, eventlog.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			space := newSpace()
			raw := within(inProcess(t, shared), space)
			if _, err := raw.Put(testContext(t), metaKey, c.meta); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(testContext(t))
			cancel(nil)
			if _, err := Open(ctx, raw, Options{}); err == nil {
				t.Fatal("opened with a cancelled context")
			}
			ctx, stop := context.WithCancel(testContext(t))
			defer stop()
			done := make(chan error, 1)
			go func() { _, err := Open(ctx, raw, Options{}); done <- err }()
			if err := <-done; !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
		})
	}
}

// Each way in which a request or its answer can be lost, any number of times,
// must end in the batch being stored once and reported with its true guard.
func TestAppendUnknownOutcomes(t *testing.T) {
	for name, loss := range map[string]func(times int) (before, after func(bool) error){
		"requests lost": func(times int) (func(bool) error, func(bool) error) {
			return func(writes bool) error {
				if writes && times > 0 {
					times--
					return errLost
				}
				return nil
			}, nil
		},
		"answers lost": func(times int) (func(bool) error, func(bool) error) {
			return nil, func(writes bool) error {
				if writes && times > 0 {
					times--
					return rpctypes.ErrTimeout
				}
				return nil
			}
		},
		"everything lost after the first write": func(times int) (func(bool) error, func(bool) error) {
			arrived := false
			return func(bool) error {
					if arrived && times > 0 {
						times--
						return rpctypes.ErrNoLeader
					}
					return nil
				}, func(writes bool) error {
					if !arrived {
						arrived = true
						return rpctypes.ErrTimeoutDueToLeaderFail
					}
					return nil
				}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			head, err := f.log.Head(f.ctx)
			if err != nil {
				t.Fatal(err)
			}
			for times := 1; times <= 4; times++ {
				raw, next := batch(t, head, 3, name)
				f.faults.set(loss(times))
				got, err := f.log.Append(f.ctx, head, next, raw, nil)
				f.faults.heal()
				if err != nil {
					t.Fatal(err)
				}
				if head, err = f.log.Head(f.ctx); err != nil || got != head {
					t.Fatalf("Append gave %+v, the head is %+v, %v", got, head, err)
				}
			}
			if got := f.mustRevisions(f.log, 0); !cmp.Equal(got, []eventlog.Revision{1, 4, 7, 10, 13}) {
				t.Errorf("batches %v", got)
			}
			if f.log.Counters().AppendRetries == 0 {
				t.Error("no repetition is counted: the faults were not met")
			}
		})
	}
}

// The answer is lost, and before it is asked for again others append.
func TestAppendAnswerLostAndLogWentOn(t *testing.T) {
	f := newFixture(t)
	other, _, _ := f.open()
	head, err := f.log.Head(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	raw, next := batch(t, head, 2, "mine")
	lost := false
	f.faults.set(nil, func(writes bool) error {
		if !writes || lost {
			return nil
		}
		lost = true
		top, err := other.Head(f.ctx)
		if err != nil {
			return err
		}
		raw, next := batch(t, top, 1, "other")
		if _, err := other.Append(f.ctx, top, next, raw, nil); err != nil {
			return err
		}
		return errLost
	})
	got, err := f.log.Append(f.ctx, head, next, raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Revision != 3 || got.Guard == 0 {
		t.Errorf("head %+v", got)
	}
	if revs := f.mustRevisions(other, 0); !cmp.Equal(revs, []eventlog.Revision{1, 3, 4}) {
		t.Errorf("batches %v", revs)
	}
	// The head returned is not the newest: the next append must say so.
	raw, next = batch(t, got, 1, "late")
	if _, err := f.log.Append(f.ctx, got, next, raw, nil); !errors.Is(err, eventlog.ErrHeadMoved) {
		t.Errorf("append at an old head: %v", err)
	}
}

// The request is lost and another batch takes the place: proof of failure.
func TestAppendRequestLostAndOtherWon(t *testing.T) {
	f := newFixture(t)
	other, _, _ := f.open()
	head, err := f.log.Head(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	once := false
	f.faults.set(func(writes bool) error {
		if !writes || once {
			return nil
		}
		once = true
		raw, next := batch(t, head, 2, "other") // the same key as ours
		if _, err := other.Append(f.ctx, head, next, raw, nil); err != nil {
			return err
		}
		return errLost
	}, nil)
	raw, next := batch(t, head, 2, "mine")
	if _, err := f.log.Append(f.ctx, head, next, raw, nil); !errors.Is(err, eventlog.ErrHeadMoved) {
		t.Fatalf("%v, want ErrHeadMoved", err)
	}
	if v, _ := f.value(batchKey(3)); strings.Contains(v, "mine") {
		t.Error("the refused batch is stored")
	}
}

// Two appenders that hold identical bytes: one has won, not both.
func TestAppendIdenticalBatches(t *testing.T) {
	f := newFixture(t)
	other, _, _ := f.open()
	head, err := f.log.Head(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	raw, next := batch(t, head, 1, "twin")
	if _, err := f.log.Append(f.ctx, head, next, raw, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Append(f.ctx, head, next, raw, nil); !errors.Is(err, eventlog.ErrHeadMoved) {
		t.Fatalf("%v, want ErrHeadMoved", err)
	}
}

func TestAppendContextEnds(t *testing.T) {
	f := newFixture(t)
	head, err := f.log.Head(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	raw, next := batch(t, head, 1, "x")
	ctx, cancel := context.WithCancel(f.ctx)
	f.faults.set(func(writes bool) error {
		if writes {
			cancel()
			return errLost
		}
		return nil
	}, nil)
	if _, err := f.log.Append(ctx, head, next, raw, nil); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		t.Fatalf("%v, want ErrOutcomeUnknown", err)
	}
	f.faults.heal()
	if _, err := f.log.Append(ctx, head, next, raw, nil); errors.Is(err, eventlog.ErrOutcomeUnknown) || err == nil {
		t.Fatalf("with an ended context nothing is tried, so the outcome is known: %v", err)
	}
}

func TestAppendRefusals(t *testing.T) {
	f := newFixture(t)
	head, err := f.log.Head(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	raw, next := batch(t, head, 1, "x")
	for _, refusal := range []error{rpctypes.ErrPermissionDenied, rpctypes.ErrRequestTooLarge, rpctypes.ErrTooManyRequests} {
		f.faults.set(func(writes bool) error {
			if writes {
				return refusal
			}
			return nil
		}, nil)
		if _, err := f.log.Append(f.ctx, head, next, raw, nil); !errors.Is(err, eventlog.ErrUnavailable) || !errors.Is(err, refusal) {
			t.Errorf("%v: %v", refusal, err)
		}
	}
	f.faults.heal()

	wrong := next
	wrong.Revision++
	if _, err := f.log.Append(f.ctx, head, wrong, raw, nil); !errors.Is(err, eventlog.ErrCorrupt) {
		t.Errorf("a head that is not the batch's: %v", err)
	}
	wrong = next
	wrong.Epoch++
	if _, err := f.log.Append(f.ctx, head, wrong, raw, nil); !errors.Is(err, eventlog.ErrCorrupt) {
		t.Errorf("a head of another epoch: %v", err)
	}
	if _, err := f.log.Append(f.ctx, next, next, raw, nil); !errors.Is(err, eventlog.ErrCorrupt) {
		t.Errorf("a batch that does not continue: %v", err)
	}
	if _, err := f.log.Append(f.ctx, head, next, []byte("garbage\n"), nil); !errors.Is(err, eventlog.ErrCorrupt) {
		t.Errorf("garbage: %v", err)
	}
	if got, _ := f.log.Head(f.ctx); got != head {
		t.Errorf("something was stored: %+v", got)
	}
}

// A foreign value stands where the next batch belongs: the log must go on.
func TestAppendOverForeignKey(t *testing.T) {
	f := newFixture(t)
	f.put(batchKey(3), "somebody's")
	heads := f.add(2, 1)
	if got := f.mustRevisions(f.log, 0); !cmp.Equal(got, lasts(heads)) {
		t.Errorf("batches %v", got)
	}
	if !f.incidents.has(IncidentForeign, batchKey(3)) || !f.incidents.has(IncidentRemoved, batchKey(3)) {
		t.Errorf("incidents %v", f.incidents.all())
	}
}

func TestContendingAppenders(t *testing.T) {
	f := newFixture(t)
	const appenders, each = 4, 25
	var group sync.WaitGroup
	for i := range appenders {
		l, faults, _ := f.open()
		n := 0
		faults.set(nil, func(writes bool) error { // a tenth of the answers is lost
			if n++; writes && n%10 == i {
				return errLost
			}
			return nil
		})
		group.Go(func() {
			for done := 0; done < each; {
				head, err := l.Head(f.ctx)
				if err != nil {
					t.Error(err)
					return
				}
				raw, next := batch(t, head, 1+done%3, string(rune('a'+i)))
				switch _, err := l.Append(f.ctx, head, next, raw, nil); {
				case err == nil:
					done++
				case !errors.Is(err, eventlog.ErrHeadMoved):
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if got := f.mustRevisions(f.log, 0); len(got) != 1+appenders*each {
		t.Errorf("%d batches, want %d", len(got), 1+appenders*each)
	}
}

func TestForeignCluster(t *testing.T) {
	f := newFixture(t)
	f.log.cluster++
	if _, err := f.log.Head(f.ctx); !errors.Is(err, eventlog.ErrForeignLog) {
		t.Fatalf("%v, want ErrForeignLog", err)
	}
}
