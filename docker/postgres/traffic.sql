CALL trade()
\watch 2
