ln -s tree l; ln -s l chain; ln -s ../../tree up
