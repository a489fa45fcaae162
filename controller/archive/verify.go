package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"dvr/controller/backup"
	"dvr/eventlog"
	"dvr/projector"
)

// Span is history without a gap.
type Span struct {
	First eventlog.Revision `json:"first"`
	Last  eventlog.Revision `json:"last"`
	Epoch uint64            `json:"epoch"` // at Last
	Hash  string            `json:"hash"`  // h(last)
	Begin int64             `json:"-"`     // log time of the first commit, Unix milliseconds
	End   int64             `json:"-"`     // of the last
}

// Defect is a file that cannot be used, and why.
type Defect struct {
	File string `json:"file"`
	Why  string `json:"why"`
}

// Report is what is in an archive.
type Report struct {
	LogID string `json:"log_id"` // empty: there is no history
	Spans []Span `json:"spans"`  // ascending; between two of them lies a gap
	// Left are files of a history that the log left, by a recovery or a restore.
	Left    []string `json:"left"`
	Defects []Defect `json:"defects"`

	Histories int   `json:"histories"` // files of history that are sound
	States    int   `json:"states"`    // that lie on it
	Bytes     int64 `json:"bytes"`     // of these files
	// Unstated is how much history, before compression, no state follows.
	Unstated int64 `json:"-"`

	// Of what Verify has read.
	Batches int64 `json:"batches"`
	Commits int64 `json:"commits"`
	Events  int64 `json:"events"`
}

// Newest is where the newest history ends; nil: there is none.
func (r *Report) Newest() *Span {
	if len(r.Spans) == 0 {
		return nil
	}
	return &r.Spans[len(r.Spans)-1]
}

// Survey tells what is in the archive, as its files say, without a log that bears
// it out: the newest file's history, and what is chained to it. Cost: header and
// index of each file that was not seen before; nothing where nothing has changed. What is given is
// shared. Errors: of the file system.
func (d *Directory) Survey() (Report, error) {
	_, generation, err := d.list()
	if err != nil {
		return Report{}, err
	}
	d.mu.Lock()
	known, at := d.surveyed, d.surveyedAt
	d.mu.Unlock()
	if known != nil && at == generation {
		return *known, nil
	}
	r, _, err := d.survey()
	if err != nil {
		return r, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.generation == generation { // else it changed, or a file turned out to be damaged
		d.surveyed, d.surveyedAt = &r, generation
	}
	return r, nil
}

func (d *Directory) survey() (Report, []*chain, error) {
	r := Report{Spans: []Span{}, Left: []string{}, Defects: []Defect{}}
	files, _, err := d.list()
	if err != nil {
		return r, nil, err
	}
	var newest *file
	for _, f := range files {
		if f.history != nil && f.bad == nil && (newest == nil || cmp.Or(cmp.Compare(f.history.LastEpoch, newest.history.LastEpoch), cmp.Compare(f.history.Last, newest.history.Last)) > 0) {
			newest = f
		}
	}
	if newest == nil {
		return r, nil, d.defects(&r, files, "")
	}
	r.LogID = newest.history.LogID
	s := d.sorted(files, r.LogID)
	used := map[*file]bool{}
	var chains []*chain
	for top := newest; top != nil; {
		c, err := d.follow(&s, r.LogID, link{top.history.Last, top.history.hash})
		if err != nil {
			return r, nil, err
		}
		chains = append(chains, c)
		for _, p := range c.pieces {
			used[p.file] = true
		}
		if top = nil; c.low.revision > 0 {
			for _, f := range s.histories { // by last revision
				if f.history.Last < c.low.revision && !used[f] {
					top = f
				}
			}
		}
	}
	slices.Reverse(chains)
	for _, c := range chains {
		if len(c.pieces) == 0 {
			continue // its only file turned out to be damaged
		}
		first, last := c.pieces[0].history, c.pieces[len(c.pieces)-1].history
		r.Spans = append(r.Spans, Span{First: first.First, Last: last.Last, Epoch: last.LastEpoch, Hash: last.Hash, Begin: first.Begin, End: last.End})
		r.States += len(c.states)
		for _, p := range c.pieces {
			r.Histories++
			r.Bytes += p.size
			r.Unstated += p.history.Index.Bytes
			if n := len(c.states); n > 0 && c.states[n-1].state.Revision >= p.upTo {
				r.Unstated = 0
			}
		}
		for _, f := range c.states {
			used[f] = true
			r.Bytes += f.size
		}
	}
	for _, f := range slices.Concat(s.histories, s.states) {
		if used[f] {
			continue
		}
		if on, err := d.repeats(chains, f); err != nil {
			return r, nil, err
		} else if !on {
			r.Left = append(r.Left, f.name)
		}
	}
	return r, chains, d.defects(&r, files, r.LogID)
}

// repeats says whether a file holds again what another one does.
func (d *Directory) repeats(chains []*chain, f *file) (bool, error) {
	if f.history == nil {
		return false, nil
	}
	at := link{f.history.Last, f.history.hash}
	for _, c := range chains {
		if i := c.at(at.revision); i < len(c.pieces) {
			if on, err := d.holdsEnd(c.pieces[i].file, at); on || err != nil {
				return on, err
			}
		}
	}
	return false, nil
}

// defects adds the files that are not used because of what they are.
func (d *Directory) defects(r *Report, files []*file, logID string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.Defects = r.Defects[:0]
	for _, f := range files {
		switch id := f.logID(); {
		case f.bad != nil:
			r.Defects = append(r.Defects, Defect{f.name, f.bad.Error()})
		case logID != "" && id != logID:
			r.Defects = append(r.Defects, Defect{f.name, fmt.Sprintf("%v: it is of log %s", ErrForeign, id)})
		}
	}
	return nil
}

// Gaps are the revisions that lack between the spans.
func (r *Report) Gaps() [][2]eventlog.Revision {
	var out [][2]eventlog.Revision
	for i := 1; i < len(r.Spans); i++ {
		out = append(out, [2]eventlog.Revision{r.Spans[i-1].Last + 1, r.Spans[i].First - 1})
	}
	return out
}

// Sound is nil where nothing lacks and every file can be used.
func (r *Report) Sound() error {
	var errs []error
	for _, k := range r.Defects {
		errs = append(errs, fmt.Errorf("%s: %s", k.File, k.Why))
	}
	for _, g := range r.Gaps() {
		errs = append(errs, fmt.Errorf("revisions %d to %d are missing", g[0], g[1]))
	}
	return errors.Join(errs...)
}

// Verify reads everything: every file's SHA-256, every commit, the hash chain from
// file to file, and every state, which must be what the commits before it give.
// Where a file is not sound the rest is verified all the same. Errors: of the file
// system, ctx's; what is not sound is in the report. Memory: two states.
func (d *Directory) Verify(ctx context.Context) (Report, error) {
	_, chains, err := d.survey()
	if err != nil {
		return Report{}, fmt.Errorf("verify the archive: %w", err)
	}
	v := verifier{dir: d}
	for _, c := range chains {
		if err := v.chain(ctx, c); err != nil {
			return Report{}, fmt.Errorf("verify the archive: %w", err)
		}
	}
	r, _, err := d.survey() // anew: with what was found
	r.Batches, r.Commits, r.Events = v.batches, v.commits, v.events
	return r, err
}

type verifier struct {
	dir                      *Directory
	fold                     *projector.Fold // nil: no state is known
	batches, commits, events int64
}

func (v *verifier) chain(ctx context.Context, c *chain) error {
	v.fold = nil
	if c.low.revision == 0 && len(c.pieces) > 0 {
		v.fold = projector.NewFold(c.pieces[0].history.LogID)
	}
	states := c.states
	for len(states) > 0 && states[0].state.Revision <= c.low.revision {
		if err := v.state(states[0]); err != nil {
			return err
		}
		states = states[1:]
	}
	for _, p := range c.pieces {
		err := v.piece(p, func(b *eventlog.Batch) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if b.Last() > p.upTo {
				return nil // the next file has it, or another history
			}
			v.batches++
			v.commits += int64(len(b.Commits))
			for i := range b.Commits {
				v.events += int64(len(b.Commits[i].Events))
			}
			if err := v.batch(b); err != nil {
				return fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			for len(states) > 0 && states[0].state.Revision <= b.Last() {
				if err := v.state(states[0]); err != nil {
					return err
				}
				states = states[1:]
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// piece verifies a file; one that is not sound is noted.
func (v *verifier) piece(p piece, fn func(*eventlog.Batch) error) error {
	in, err := v.dir.open(p.file)
	if err != nil {
		return err
	}
	defer in.Close()
	err = p.history.verify(in, p.size, fn)
	if unusable(err) {
		v.dir.condemn(p.file, err)
		v.fold = nil
		return nil
	}
	return err
}

// batch folds what of a batch is not folded.
func (v *verifier) batch(b *eventlog.Batch) error {
	if v.fold == nil || b.First() > v.fold.Current().Position().Revision+1 {
		v.fold = nil // behind what was not sound
		return nil
	}
	for i := range b.Commits {
		k := &b.Commits[i]
		if k.Revision <= v.fold.Current().Position().Revision {
			continue
		}
		if err := v.fold.Apply(k, b.Hash); err != nil {
			return err
		}
	}
	return nil
}

// state holds a state against what was folded, or begins with it. One that is not
// sound is noted.
func (v *verifier) state(f *file) error {
	in, err := v.dir.open(f)
	if err != nil {
		return err
	}
	defer in.Close()
	b, err := backup.Read(in, f.size)
	switch {
	case errors.Is(err, backup.ErrDamaged), errors.Is(err, backup.ErrForeign), errors.Is(err, backup.ErrNewer), errors.Is(err, backup.ErrStaged):
		v.dir.condemn(f, fmt.Errorf("%w: %w", ErrDamaged, err))
		return nil
	case err != nil:
		return err
	}
	if v.fold != nil && v.fold.Current().Position().Revision == b.Header.Revision {
		if d := v.fold.Current().Digest(); d.String() != b.Header.Digest {
			v.dir.condemn(f, fmt.Errorf("%w: its digest is %s, the commits up to it give %s", ErrDamaged, b.Header.Digest, d))
		}
		return nil
	}
	v.fold = b.Fold
	return nil
}
