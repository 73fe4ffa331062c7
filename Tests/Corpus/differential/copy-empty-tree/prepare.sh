mkdir -p tree/a/b/c tree/d; chmod 711 tree/a/b
