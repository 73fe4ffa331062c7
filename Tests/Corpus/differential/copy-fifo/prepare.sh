mkdir tree; echo f > tree/f; mkfifo -m 640 tree/pipe
