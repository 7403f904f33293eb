# Greets $1, $2 times.
set -euo pipefail

for ((i = 0; i < $2; i++)); do
  printf 'Hello, %s!\n' "$1"
done
