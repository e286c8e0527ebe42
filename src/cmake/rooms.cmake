# The rooms, in the order in which data passes through them; a room includes only rooms before it (tests/rooms.cmake).
set(qcqa_rooms support checkpoint model text plan forward statistics fitness search merge evaluate export report pipeline
  cli)
