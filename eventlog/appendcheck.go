package eventlog

import "fmt"

// CheckAppend checks what Log.Append promises about its arguments as far as
// the batch line tells: raw continues prev and ends at next. Cost: the line
// only. Errors: ErrCorrupt.
func CheckAppend(prev, next Head, raw []byte) error {
	l, rest, err := DecodeBatchLine(raw)
	if err != nil {
		return err
	}
	switch {
	case l.First != prev.Revision+1 || l.Prev != prev.Hash:
		return fmt.Errorf("%w: the batch of revision %d does not continue revision %d", ErrCorrupt, l.First, prev.Revision)
	case l.Last != next.Revision || l.Epoch != next.Epoch:
		return fmt.Errorf("%w: the batch ends at revision %d of epoch %d, the head given is %d of %d",
			ErrCorrupt, l.Last, l.Epoch, next.Revision, next.Epoch)
	case len(raw) > MaxBatchBytes && (l.Commits > 1 || len(rest) > MaxCommitBytes):
		return fmt.Errorf("%w: a batch of %d bytes is larger than the format allows", ErrCorrupt, len(raw))
	}
	return nil
}
