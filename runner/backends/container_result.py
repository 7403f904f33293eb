"""What the program that stands for a container leaves in the job folder, for whoever looks there.

A document: ``id``, ``phase``, ``removed``; ``exit_code``, ``out_of_memory`` and
``child_out_of_memory`` when it ended; ``error`` and ``hint`` when it never ran or nobody knows.
"""

RESULT = "container.json"
