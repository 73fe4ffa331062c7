cd tree; mkdir tmp shared closed; chmod 1777 tmp; chmod 2775 shared; chmod 700 closed; echo x > closed/f; chmod 0 closed/f; chmod 111 f; chmod 750 sub
