drop operator @-> (int, int);
drop table quoted, q2
/* the value cannot be taken out; */
