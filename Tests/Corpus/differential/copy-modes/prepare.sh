chmod 755 exec
chmod 600 private
chmod 700 dir
chmod 4755 dir/f
