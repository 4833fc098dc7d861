/* REP_n(F, X): F(X, 0) ... F(X, n - 1). For accumulators with names of their own, since arrays stay on the stack. */
#ifndef RNNRT_REPEAT_H
#define RNNRT_REPEAT_H

#define REP_1(F, X) F(X, 0)
#define REP_2(F, X) REP_1(F, X) F(X, 1)
#define REP_3(F, X) REP_2(F, X) F(X, 2)
#define REP_4(F, X) REP_3(F, X) F(X, 3)
#define REP_5(F, X) REP_4(F, X) F(X, 4)
#define REP_6(F, X) REP_5(F, X) F(X, 5)
/* the same words again, since a macro does not expand inside itself */
#define VEC_1(F, X) F(X, 0)
#define VEC_2(F, X) VEC_1(F, X) F(X, 1)
#define VEC_3(F, X) VEC_2(F, X) F(X, 2)
#define VEC_4(F, X) VEC_3(F, X) F(X, 3)

#endif
