package cluster

import (
	"errors"
	"fmt"
)

// What membership can fail with; each is wrapped with what it was about.
var (
	// ErrRefused: the node must not start as it is; starting it again without
	// changing something does not help.
	ErrRefused = errors.New("refused")
	// ErrDataLost: this node was a member and its data are gone.
	ErrDataLost = fmt.Errorf("%w: the data of this member are gone", ErrRefused)
	// ErrForeign: the data, or the other nodes, are of another cluster or log.
	ErrForeign = fmt.Errorf("%w: another cluster", ErrRefused)
	// ErrRemoved: the node was removed from its cluster and stays stopped.
	ErrRemoved = errors.New("this node was removed from its cluster")

	// ErrNotFound: there is no such member.
	ErrNotFound = errors.New("no such member")
	// ErrExists: a member has that name or Raft address already.
	ErrExists = errors.New("there is such a member already")
	// ErrFull: as many vote as may.
	ErrFull = errors.New("the cluster has as many voters as it may have")
	// ErrQuorum: the change would leave the cluster without a majority.
	ErrQuorum = errors.New("the cluster would lose its quorum")
	// ErrNotReady: the learner has not caught up yet; nothing changed.
	ErrNotReady = errors.New("the learner has not caught up yet")
	// ErrBusy: another node is joining; nothing changed, try again.
	ErrBusy = errors.New("another node is joining")
	// ErrLevel: the node's program is older than the log; nothing changed.
	ErrLevel = errors.New("the node supports less than the log's level")
	// ErrRole: the member's role does not allow it.
	ErrRole = errors.New("not in this role")
)
