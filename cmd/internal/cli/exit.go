package cli

import (
	"context"
	"errors"
	"net/http"

	"dvr/cmd/internal/client"
	"dvr/controller/cluster"
	"dvr/controller/export"
	"dvr/eventlog"
)

// Exit codes of the dvr command.
const (
	ExitOK          = 0
	ExitFailure     = 1 // anything else
	ExitUsage       = 2 // wrong flags or arguments, input that the API calls malformed
	ExitNotFound    = 3
	ExitConflict    = 4   // precondition failed, conflict, idempotency key reused
	ExitUnavailable = 5   // no node answered, no quorum, outcome unknown, not installed in time
	ExitDenied      = 8   // not authenticated, or not allowed
	ExitRemoved     = 6   // a node that was removed from its cluster: it must not be started again as it is
	ExitRefused     = 7   // a node that must not start as it is: its data lost, or of another cluster
	ExitDamaged     = 9   // an export that is not what was written
	ExitIncomplete  = 10  // an export that lacks commits
	ExitDisorder    = 11  // an export whose commits are in another order
	ExitOtherLog    = 12  // an export of another log than the cluster's
	ExitParted      = 13  // an export whose history the cluster's log does not hold
	ExitAway        = 14  // committed and installed, but data planes that are known are away and lack it
	ExitInterrupted = 130 // SIGINT or SIGTERM ended the command
)

// exitCodes is the same for the help.
const exitCodes = `Exit codes:
  0    done
  1    failed otherwise
  2    wrong flags or arguments, or malformed input; some lines of an import were refused
  3    not found
  4    conflict: precondition failed, idempotency key used for another request
  5    unavailable: no node or data plane answered, no quorum, outcome unknown, not installed in time
  6    this node was removed from its cluster
  7    this node must not start as it is: its data are gone, or of another cluster
  8    not authenticated, or not allowed
  9    an export of the log is damaged, or no export
  10   an export lacks commits
  11   an export's commits are out of order
  12   an export is of another log than the cluster's
  13   an export holds another history than the cluster's log
  14   with --wait installed: done, and installed wherever a data plane is connected; some that are known are not, and lack it
  130  ended by SIGINT or SIGTERM`

// usageError marks errors of how the command was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// problemOf is what the API answered; nil: it was not asked, or not heard.
func problemOf(err error) *client.Problem {
	var p *client.Problem
	if errors.As(err, &p) {
		return p
	}
	return nil
}

// ExitCode is the process's exit code for a command's error.
func ExitCode(err error) int {
	var usage usageError
	var p *client.Problem
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &usage), errors.Is(err, client.ErrBadEndpoint):
		return ExitUsage
	case errors.Is(err, export.ErrDamaged), errors.Is(err, export.ErrForeign):
		return ExitDamaged
	case errors.Is(err, export.ErrIncomplete):
		return ExitIncomplete
	case errors.Is(err, export.ErrDisorder):
		return ExitDisorder
	case errors.Is(err, errOtherLog):
		return ExitOtherLog
	case errors.Is(err, errParted):
		return ExitParted
	case errors.Is(err, cluster.ErrRemoved):
		return ExitRemoved
	case errors.Is(err, cluster.ErrRefused):
		return ExitRefused
	case errors.Is(err, errAway):
		return ExitAway
	case errors.Is(err, client.ErrUnreachable), errors.Is(err, errNotInstalled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, eventlog.ErrUnavailable):
		return ExitUnavailable
	case errors.As(err, &p) && p.Type == "/problems/no-dataplane":
		return ExitUnavailable
	case errors.As(err, &p):
		switch p.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return ExitDenied
		case http.StatusNotFound, http.StatusGone:
			return ExitNotFound
		case http.StatusConflict, http.StatusPreconditionFailed, http.StatusUnprocessableEntity:
			return ExitConflict
		case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusRequestTimeout:
			return ExitUnavailable
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
			return ExitUsage
		}
	}
	return ExitFailure
}
