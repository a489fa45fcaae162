package archive

import (
	"errors"
	"fmt"
	"sort"

	"dvr/controller/backup"
	"dvr/eventlog"
)

// link is a revision and its hash in the log.
type link struct {
	revision eventlog.Revision
	hash     eventlog.Hash
}

// piece is a file of history as far as it belongs to a chain.
type piece struct {
	*file
	upTo eventlog.Revision // a batch ends there
}

// chain is a piece of history without gap, proven downwards from its top.
type chain struct {
	top    link
	pieces []piece // ascending
	low    link    // what it begins after
	states []*file // on it, ascending
	why    string  // it begins there; empty: there is nothing older
}

// follow finds the chain that ends with top: downwards, each file by the hash that
// the one after it continues. What a file turns out to be while it is read is
// noted. Errors: of the file system.
func (d *Directory) follow(s *seal, logID string, top link) (*chain, error) {
	c := &chain{top: top, low: top}
	byEnd := map[link][]*file{}
	for _, f := range s.histories {
		end := link{f.history.Last, f.history.hash}
		byEnd[end] = append(byEnd[end], f)
	}
	for c.low.revision > 0 {
		f, err := d.holding(s, byEnd, c.low)
		if err != nil {
			return nil, err
		}
		if f == nil {
			break
		}
		c.pieces = append(c.pieces, piece{f, c.low.revision})
		c.low = link{f.history.First - 1, f.history.prev}
	}
	for i, j := 0, len(c.pieces)-1; i < j; i, j = i+1, j-1 {
		c.pieces[i], c.pieces[j] = c.pieces[j], c.pieces[i]
	}
	if c.low.revision > 0 {
		c.why = d.ending(s, logID, c.low)
	}
	for _, f := range s.states {
		on, err := d.bears(c, f.state)
		if err != nil {
			return nil, err
		}
		if on {
			c.states = append(c.states, f)
		}
	}
	return c, nil
}

// holding finds the file in use that holds a link and reaches back farthest.
func (d *Directory) holding(s *seal, byEnd map[link][]*file, at link) (best *file, err error) {
	for _, f := range byEnd[at] { // nearly always
		if best == nil || f.history.First < best.history.First {
			best = f
		}
	}
	if best != nil {
		return best, nil
	}
	i := sort.Search(len(s.histories), func(i int) bool { return s.histories[i].history.Last > at.revision })
	for _, f := range s.histories[i:] {
		if f.history.First > at.revision || best != nil && best.history.First <= f.history.First {
			continue
		}
		if ok, err := d.holdsEnd(f, at); err != nil {
			return nil, err
		} else if ok {
			best = f
		}
	}
	return best, nil
}

// holdsEnd is history's, with what is found out about the file noted.
func (d *Directory) holdsEnd(f *file, at link) (bool, error) {
	in, err := d.open(f)
	if err != nil {
		return false, err
	}
	defer in.Close()
	ok, err := f.history.holdsEnd(in, at.revision, at.hash)
	if unusable(err) {
		d.condemn(f, err)
		return false, nil
	}
	return ok, err
}

// unusable says that an error is the file's and not the file system's.
func unusable(err error) bool {
	return errors.Is(err, ErrDamaged) || errors.Is(err, ErrNewer) || errors.Is(err, ErrForeign)
}

// at is the piece that holds a revision, or begins after it.
func (c *chain) at(r eventlog.Revision) int {
	return sort.Search(len(c.pieces), func(i int) bool { return c.pieces[i].upTo >= r })
}

// bears says whether a state lies on the chain.
func (d *Directory) bears(c *chain, h *backup.Header) (bool, error) {
	hash, err := parseHash(h.Hash)
	if err != nil || h.Revision < c.low.revision || h.Revision > c.top.revision {
		return false, nil
	}
	at := link{h.Revision, hash}
	if at == c.low || at == c.top {
		return true, nil
	}
	i := c.at(h.Revision)
	if i == len(c.pieces) {
		return false, nil
	}
	return d.holdsEnd(c.pieces[i].file, at)
}

// ending says why a chain begins where it does.
func (d *Directory) ending(s *seal, logID string, at link) string {
	for _, f := range s.rest {
		if f.first <= at.revision && at.revision <= f.last && f.state == nil {
			if err := d.problem(f, logID); err != nil {
				return err.Error()
			}
		}
	}
	below := eventlog.Revision(0)
	for _, f := range s.histories {
		if f.history.Last < at.revision {
			below = max(below, f.history.Last)
		} else if f.history.First <= at.revision {
			return fmt.Sprintf("%s holds another history at revision %d than the log", f.name, at.revision)
		}
	}
	if below > 0 {
		return fmt.Sprintf("revisions %d to %d are missing in %s", below+1, at.revision, d.path)
	}
	return ""
}
