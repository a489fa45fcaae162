package launcher

import "errors"

// Errors of the launcher's operations; the control API maps them to codes.
var (
	// ErrBadID: the node id is not one.
	ErrBadID = errors.New("node_id is not valid")
	// ErrUnknownNode: the configuration has no such node.
	ErrUnknownNode = errors.New("node not found")
	// ErrExists: a node with that id is configured.
	ErrExists = errors.New("already exists")
	// ErrQuorum: the cluster would lose its quorum; nothing was changed.
	ErrQuorum = errors.New("would lose quorum")
	// ErrNotFormed: the founding nodes have not formed the cluster yet.
	ErrNotFormed = errors.New("the cluster has not formed yet")
	// ErrUnavailable: no node could carry the change out now; nothing was changed.
	ErrUnavailable = errors.New("no node of the cluster could do it now")
	// ErrLeaving: the node is being decommissioned.
	ErrLeaving = errors.New("is being decommissioned")
	// ErrNoPorts: no free ports are left for another node.
	ErrNoPorts = errors.New("no free ports")
	// ErrConfiguration: the configuration cannot be used.
	ErrConfiguration = errors.New("configuration")
)

// quorumError is ErrQuorum in the words of the node that refused.
type quorumError struct{ detail string }

func (e *quorumError) Error() string { return e.detail }
func (e *quorumError) Unwrap() error { return ErrQuorum }

// bodyError is errMalformed of one member of the body.
type bodyError struct{ field, text string }

func (e *bodyError) Error() string { return e.field + ": " + e.text }
func (e *bodyError) Unwrap() error { return errMalformed }
