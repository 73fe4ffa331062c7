chmod 700 tree; chmod 750 tree/sub
