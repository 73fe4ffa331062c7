chmod 700 tree/sub; chmod 1777 tree; chown 5:6 tree/sub; chown 1000:2000 tree/f; tar -cf a.tar tree; rm -r tree
