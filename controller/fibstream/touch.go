package fibstream

import (
	"encoding/binary"
	"net/netip"

	"dvr/eventlog"
	"dvr/projector"
)

const (
	// maxCovers is how many deltas a plane remembers; about older ones the
	// answer is that everything was concerned.
	maxCovers = 256
	// maxTouched is the largest delta whose prefixes are remembered.
	maxTouched = 512
)

// touch is what a delta concerns: nothing, some prefixes, or all.
type touch struct {
	all      bool
	prefixes *projector.Delta // scanned when asked
}

func (t touch) nothing() bool { return !t.all && t.prefixes == nil }

// touchOf reads it off a delta. Groups reach prefixes that the delta does not
// name, so they concern all; and so does what a stream begins with.
func touchOf(d *projector.Delta, running bool) touch {
	if !running || d.Full || len(d.Withdrawn) != 0 {
		return touch{all: true}
	}
	if d.Empty() {
		return touch{}
	}
	n := len(d.Set.Addr4) + len(d.Set.Addr6) + len(d.Removed.Addr4) + len(d.Removed.Addr6)
	if n > maxTouched {
		return touch{all: true}
	}
	used := make(map[uint32]bool, len(d.Classes))
	for _, c := range d.Set.Class4 {
		used[c] = true
	}
	for _, c := range d.Set.Class6 {
		used[c] = true
	}
	for i := range d.Classes {
		if d.Classes[i].NextHops != nil && !used[uint32(i)] {
			return touch{all: true} // a group changed on its own
		}
	}
	return touch{prefixes: d}
}

// touches reports whether one of the prefixes is concerned; no prefixes: any is.
func (t touch) touches(prefixes []netip.Prefix) bool {
	if t.nothing() {
		return false
	}
	if t.all || len(prefixes) == 0 {
		return true
	}
	for _, p := range prefixes {
		if holds(&t.prefixes.Set, p) || holds(&t.prefixes.Removed, p) {
			return true
		}
	}
	return false
}

func holds(c *projector.Columns, p netip.Prefix) bool {
	length := uint8(p.Bits())
	if p.Addr().Is4() {
		a4 := p.Addr().As4()
		a := binary.BigEndian.Uint32(a4[:])
		for i := range c.Addr4 {
			if c.Addr4[i] == a && c.Len4[i] == length {
				return true
			}
		}
		return false
	}
	a := p.Addr().As16()
	for i := range c.Addr6 {
		if c.Addr6[i] == a && c.Len6[i] == length {
			return true
		}
	}
	return false
}

// cover says what the commits after from, up to to, concern.
type cover struct {
	from, to eventlog.Position
	touch    touch
}

func (p *plane) cover(c cover) {
	if len(p.covers) == maxCovers {
		copy(p.covers, p.covers[1:])
		p.covers = p.covers[:maxCovers-1]
		p.from = c.from
		if len(p.covers) > 0 {
			p.from = p.covers[0].from
		}
	}
	p.covers = append(p.covers, c)
}

// standing is where a plane is with some commits.
type standing struct {
	known     bool // the controller has compiled what they change
	concerned bool
	acked     bool // as far as they concern it
}

// stands judges the commits from first to last. They concern the plane when a
// delta that holds one of them touches the prefixes; and so does a delta before
// them that touches these and is not acked: until it is, what the commits say
// is not in the data plane, whoever changed it first.
func (p *plane) stands(epoch uint64, first, last eventlog.Revision, prefixes []netip.Prefix) standing {
	if !reaches(p.examined, epoch, last) {
		return standing{}
	}
	s := standing{known: true, acked: true}
	look := func(c cover) {
		open := !reaches(p.installed, c.to.Epoch, c.to.Revision)
		if reaches(c.from, epoch, last) || !open && !reaches(c.to, epoch, first) || !c.touch.touches(prefixes) {
			return
		}
		s.concerned = true
		s.acked = s.acked && !open
	}
	if p.from != (eventlog.Position{}) {
		look(cover{to: p.from, touch: touch{all: true}}) // what is not remembered
	}
	for _, c := range p.covers {
		look(c)
	}
	s.acked = s.acked || reaches(p.installed, epoch, last)
	return s
}

// failing reports whether a sink could not install something that the
// commit's prefixes may be among; no prefixes: anything.
func (p *plane) failing(prefixes []netip.Prefix) bool {
	for _, s := range p.sinks {
		if s.status.Failed == 0 && s.buckets == ([bucketCount / 8]byte{}) {
			continue
		}
		if len(prefixes) == 0 {
			return true
		}
		for _, q := range prefixes {
			if b := bucketOf(q); s.buckets[b/8]&(1<<(b%8)) != 0 {
				return true
			}
		}
	}
	return false
}
