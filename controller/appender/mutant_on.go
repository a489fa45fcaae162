//go:build mutant

package appender

import "os"

var (
	mutantNoDedupe = os.Getenv("MUTANT") == "nodedupe"
	mutantEarlyAck = os.Getenv("MUTANT") == "earlyack"
	mutantAbsent   = os.Getenv("MUTANT") == "absent"
)
