// Package appender is the only writer of the log and the owner of the Fold.
//
// Callers hand in requests; the appender orders them, judges each against the
// exact state that it will be applied to, folds it, and appends what passed in
// batches, one transaction in flight (group commit without a timer). While a
// transaction is in flight the next batch is prepared.
//
// # Order of things
//
// A request is validated and encoded in its caller's goroutine, queued without
// a lock, and taken up by one loop, which alone touches the Fold:
//
//	caller: validate, encode ─▶ queue ─▶ loop: idempotency, preconditions, fold, hash
//	                                       │ one batch in flight
//	                                       ▼
//	caller ◀─ result ◀─ publish State ◀─ log.Append
//
// Invariant: acknowledged ≤ in flight ≤ building, and the Fold stands at the
// end of building. A State is frozen when its batch leaves and published only
// when the log has acknowledged it, so no reader ever sees a commit that may
// still be lost. Nor is anyone refused for one: a refusal waits for the commit
// that it rests on, and is judged again where that is lost.
//
// # Another appender
//
// The head guard of the log is the only fence. Where it refuses (ErrHeadMoved),
// the Fold goes back to the last published State, what the other appender
// stored is folded, and every request in hand is judged again: the idempotency
// window, which is part of the state, makes that exact. Follow keeps an idle or
// reading node up to date; a busy writer stops following itself, since decoding
// its own batches would be wasted and the guard tells it of foreign ones.
//
// # When it cannot go on
//
// A log that needs a newer program (ErrLevel), a hole or corruption stop the
// folding: State goes on serving the last good revision, Status says why, and
// requests are refused with that error.
package appender
