"""Print the arguments that the command received, as JSON."""

import json
import sys

print(json.dumps(sys.argv[1:], indent=2))
