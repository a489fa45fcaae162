package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"dvr/controller/service"
)

// What bodies may take of memory at a time, all calls together.
const (
	bodyBudget = 256 << 20
	// An import streams: it holds lines in flight, and zstd its window.
	importCost = 8 << 20
	atomicCost = 96 << 20 // two at a time: what they gather is not counted by line
	// actorBudget is what the calls of one actor may take of it: nobody keeps all
	// others from writing.
	actorBudget = bodyBudget / 2
)

// budget bounds the memory of bodies that are worked on. Bytes are counted as
// they come, not as they are declared: who declares much and sends nothing
// takes nothing from others.
type budget struct {
	left   atomic.Int64
	actors shares
}

var errBodies = fmt.Errorf("%w: the bodies of calls in progress may take %d MiB", service.ErrOverloaded, bodyBudget>>20)

// take takes n bytes for a call of actor's, "" where nobody was asked who it is.
func (b *budget) take(actor string, n int64) error {
	if !b.actors.take(actor, n, actorBudget) {
		return fmt.Errorf("%w: of %s alone %d MiB", errBodies, actor, actorBudget>>20)
	}
	if b.left.Add(-n) < 0 {
		b.give(actor, n)
		return errBodies
	}
	return nil
}

func (b *budget) give(actor string, n int64) {
	b.left.Add(n)
	b.actors.give(actor, n)
}

// meter counts what is read of r's body until the function it returns is called.
func (b *budget) meter(r *http.Request) (release func()) {
	m := &metered{ReadCloser: r.Body, budget: b, actor: authenticated(r)}
	r.Body = m
	return func() {
		r.Body = m.ReadCloser // by its type net/http sees how much is unread, and waits for none of it where that is much
		b.give(m.actor, m.taken)
	}
}

type metered struct {
	io.ReadCloser
	budget *budget
	actor  string
	taken  int64
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	if n > 0 {
		if e := m.budget.take(m.actor, int64(n)); e != nil {
			return 0, e
		}
		m.taken += int64(n)
	}
	return n, err
}
