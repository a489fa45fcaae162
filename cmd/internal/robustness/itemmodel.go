package robustness

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// register is the state of one item in the sequential model.
//
// Versions are the revisions that the answers tell. A change without an answer
// has an unknown one, which is all that the model does not know: it is then
// greater than floor, and the first answer that tells it settles it.
type register struct {
	content string
	version uint64 // of the last change; 0: not told yet, or never set
	floor   uint64 // the greatest revision known so far
	present bool
	// applied are the idempotency keys that made a commit, "id@revision" and a
	// line end each, revision 0 while it is not told. Only those that were used
	// more than once are kept.
	applied string
}

// seen reports whether id has made a commit, and at which revision.
func (r *register) seen(id string) (revision uint64, ok bool) {
	i := strings.Index("\n"+r.applied, "\n"+id+"@")
	if i < 0 {
		return 0, false
	}
	_, err := fmt.Sscanf(r.applied[i+len(id)+1:], "%d\n", &revision)
	return revision, err == nil
}

func (r *register) remember(id string, revision uint64) {
	r.applied += fmt.Sprintf("%s@%d\n", id, revision)
}

func (r *register) settle(id string, revision uint64) {
	r.applied = strings.Replace(r.applied, id+"@0\n", fmt.Sprintf("%s@%d\n", id, revision), 1)
}

// step gives the states that may follow when the call takes effect in r.
func step(r register, c *Call, repeated bool) []register {
	if c.Kind == Get {
		return read(r, c)
	}
	if repeated {
		if at, ok := r.seen(c.ID); ok {
			switch {
			case c.Outcome == Unknown:
				return []register{r}
			case c.Outcome != Done:
				return nil // it was stored, so it must be answered as that
			case at == 0:
				if c.Revision <= 0 {
					return nil
				}
				r.settle(c.ID, c.Revision)
				return []register{r}
			case at == c.Revision:
				return []register{r}
			}
			return nil
		}
	}
	var out []register
	met, unsure := r.meets(c)
	if met || unsure {
		out = append(out, apply(r, c, repeated)...)
	}
	if !met || unsure {
		if c.Outcome == Failed || c.Outcome == Unknown {
			out = append(out, r)
		}
	}
	return out
}

// meets reports whether r is what the call demands; unsure: r's version is not known.
func (r *register) meets(c *Call) (met, unsure bool) {
	switch {
	case c.IfAbsent && r.present, c.IfMatch != 0 && !r.present:
		return false, false
	case c.Kind == Remove && c.Space == Routes && !r.present:
		return false, false
	case c.IfMatch == 0:
		return true, false
	case r.version == 0:
		// A version that was told before is not the one of a change since.
		return false, c.IfMatch > r.floor
	}
	return r.version == c.IfMatch, false
}

// apply is the effect of a change that is let through.
func apply(r register, c *Call, repeated bool) []register {
	if c.Outcome == Failed {
		return nil
	}
	revision := uint64(0)
	if c.noChange() {
		// No commit of its own, or an empty one: it tells where the log stood.
		if r.present || c.Revision < r.floor {
			return nil
		}
		if repeated {
			r.remember(c.ID, c.Revision)
		}
		return []register{r}
	}
	if c.Outcome == Done {
		if revision = c.Revision; revision <= r.floor {
			return nil // commits are numbered in the order in which they take effect
		}
		if c.IfMatch >= revision {
			return nil
		}
		r.floor = revision
	}
	if repeated {
		r.remember(c.ID, revision)
	}
	if c.Kind == Remove {
		if c.Outcome == Done && !r.present {
			return nil // it says that it removed something
		}
		if r.present {
			r.version = revision
		}
		r.content, r.present = "", false
		return []register{r}
	}
	if c.Kind == Replace {
		r.content = ""
	}
	r.content = with(r.content, c.Slot, c.Value)
	r.version, r.present = revision, true
	return []register{r}
}

func read(r register, c *Call) []register {
	switch {
	case c.Absent != !r.present, !c.Absent && c.Content != r.content:
		return nil
	case c.Absent:
		return []register{r}
	case r.version == 0 && c.Version > r.floor:
		r.version, r.floor = c.Version, c.Version
		return []register{r}
	case r.version != c.Version:
		return nil
	}
	return []register{r}
}

// input is a call with what the model must know of the whole history.
type input struct {
	*Call
	repeated bool // its idempotency key is that of another call too
}

var itemModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{register{}} },
	Step: func(state, in, _ any) []any {
		i := in.(input)
		next := step(state.(register), i.Call, i.repeated)
		out := make([]any, len(next))
		for k, r := range next {
			out[k] = r
		}
		return out
	},
	DescribeOperation: func(in, _ any) string { return in.(input).String() },
	DescribeState:     func(s any) string { return fmt.Sprintf("%+v", s) },
}).ToModel()

// histories sorts the calls that the model is about by item: those that may have
// taken effect, those that met the wrong state, and the reads that promise to
// show the newest.
func histories(calls []*Call) map[Item][]porcupine.Operation {
	type use struct {
		id string
		Item
	}
	uses := map[use]int{} // a commit of several items is one call of each
	for _, c := range calls {
		if c.ID != "" {
			uses[use{c.ID, c.Item}]++
		}
	}
	out := map[Item][]porcupine.Operation{}
	for _, c := range calls {
		end := int64(c.End)
		switch {
		case c.Outcome == Refused, c.Outcome == Wrong, c.Kind == Get && (c.Outcome != Done || c.Local || c.Stale):
			continue
		case c.Outcome == Unknown, c.Unanswered:
			end = 1<<63 - 1 // pending for ever
		}
		out[c.Item] = append(out[c.Item], porcupine.Operation{
			ClientId: c.Client, Input: input{c, c.ID != "" && uses[use{c.ID, c.Item}] > 1}, Call: int64(c.Begin), Return: end,
		})
	}
	return out
}

// Linearizable checks the history of every item against the model. patience
// bounds the search for one item; what is not decided by then is a violation
// too, since it proves nothing. It returns the number of items checked.
func Linearizable(calls []*Call, patience time.Duration, v *Violations) int {
	items := histories(calls)
	for item, history := range items {
		result := porcupine.CheckOperationsTimeout(itemModel, history, patience)
		if result == porcupine.Ok {
			continue
		}
		what := "the history of %s is not linearizable:%s"
		if result == porcupine.Unknown {
			what = "whether the history of %s is linearizable was not found out in time:%s"
		}
		v.Addf("linearizable", what, item.Name, describe(history))
	}
	return len(items)
}

// describe lists a history, the calls in the order of their beginning.
func describe(history []porcupine.Operation) string {
	slices.SortFunc(history, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var b strings.Builder
	for _, o := range history {
		b.WriteString("\n\t" + o.Input.(input).String())
	}
	return b.String()
}
