// PTX text -> Module.  Written from the PTX ISA manual's grammar, as far as nvcc's output (and inline assembly) uses
// it.
#include <functional>
#include "emulator.hpp"
using namespace std;
static const struct {
  const char* n;
  T t;
  int sz;
} TYPES[] = {{"b8", B8, 1},      {"u8", U8, 1},     {"s8", S8, 1},         {"b16", B16, 2},       {"u16", U16, 2},
             {"s16", S16, 2},    {"f16", F16, 2},   {"bf16", BF16, 2},     {"f16x2", F16X2, 4},   {"bf16x2", BF16X2, 4},
             {"b32", B32, 4},    {"u32", U32, 4},   {"s32", S32, 4},       {"f32", F32, 4},       {"tf32", TF32, 4},
             {"b64", B64, 8},    {"u64", U64, 8},   {"s64", S64, 8},       {"f64", F64, 8},       {"pred", PRED, 4},
             {"e4m3", E4M3, 1},  {"e5m2", E5M2, 1}, {"e4m3x2", E4M3X2, 2}, {"e5m2x2", E5M2X2, 2}, {"b128", B128, 16},
             {"f32x2", F32X2, 8}};
int tsize(T t) {
  for (auto& q : TYPES)
    if (q.t == t) return q.sz;
  return 4;
}
T type_by_name(const string& s) {
  static const unordered_map<string, T> m = [] {
    unordered_map<string, T> r;
    for (auto& q : TYPES) r[q.n] = q.t;
    return r;
  }();
  auto i = m.find(s);
  return i == m.end() ? NOT_T : i->second;
}
int special_reg(const string& s, int& size) {
  static const unordered_map<string, pair<int, int>> m = {{"%tid.x", {TIDX, 4}},
                                                          {"%tid.y", {TIDY, 4}},
                                                          {"%tid.z", {TIDZ, 4}},
                                                          {"%ntid.x", {NTX, 4}},
                                                          {"%ntid.y", {NTY, 4}},
                                                          {"%ntid.z", {NTZ, 4}},
                                                          {"%ctaid.x", {CX, 4}},
                                                          {"%ctaid.y", {CY, 4}},
                                                          {"%ctaid.z", {CZ, 4}},
                                                          {"%nctaid.x", {NCX, 4}},
                                                          {"%nctaid.y", {NCY, 4}},
                                                          {"%nctaid.z", {NCZ, 4}},
                                                          {"%laneid", {LANE, 4}},
                                                          {"%warpid", {WARPID, 4}},
                                                          {"%nwarpid", {NWARP, 4}},
                                                          {"%lanemask_eq", {LMEQ, 4}},
                                                          {"%lanemask_lt", {LMLT, 4}},
                                                          {"%lanemask_le", {LMLE, 4}},
                                                          {"%lanemask_gt", {LMGT, 4}},
                                                          {"%lanemask_ge", {LMGE, 4}},
                                                          {"%smid", {SMID, 4}},
                                                          {"%nsmid", {NSMID, 4}},
                                                          {"%dynamic_smem_size", {DSMEM, 4}},
                                                          {"%total_smem_size", {TSMEM, 4}},
                                                          {"%gridid", {ZERO, 8}},
                                                          {"%clock", {CLK, 4}},
                                                          {"%clock_hi", {ZERO, 4}},
                                                          {"%clock64", {CLK, 8}},
                                                          {"%globaltimer", {GTIME, 8}},
                                                          {"%globaltimer_lo", {GTIME, 4}},
                                                          {"%globaltimer_hi", {ZERO, 4}},
                                                          // clusters: every cluster is one block
                                                          {"%cluster_ctaid.x", {ZERO, 4}},
                                                          {"%cluster_ctaid.y", {ZERO, 4}},
                                                          {"%cluster_ctaid.z", {ZERO, 4}},
                                                          {"%cluster_nctaid.x", {ONE, 4}},
                                                          {"%cluster_nctaid.y", {ONE, 4}},
                                                          {"%cluster_nctaid.z", {ONE, 4}},
                                                          {"%cluster_ctarank", {ZERO, 4}},
                                                          {"%cluster_nctarank", {ONE, 4}},
                                                          {"%clusterid.x", {CX, 4}},
                                                          {"%clusterid.y", {CY, 4}},
                                                          {"%clusterid.z", {CZ, 4}},
                                                          {"%nclusterid.x", {NCX, 4}},
                                                          {"%nclusterid.y", {NCY, 4}},
                                                          {"%nclusterid.z", {NCZ, 4}},
                                                          {"%is_explicit_cluster", {ZERO, 0}}};
  auto i = m.find(s);
  if (i == m.end()) {
    if (s.compare(0, 7, "%envreg") == 0) {
      size = 4;
      return s == "%envreg1" ? ENV1 : s == "%envreg2" ? ENV2 : ZERO;
    }
    return -1;
  }
  size = i->second.second;
  return i->second.first;
}
namespace {
struct RegRange {
  string prefix;
  u32 base;
  int n;
  u8 size;
};
struct Scope {
  unordered_map<string, pair<u32, u8>> regs;
  vector<RegRange> ranges;
  map<string, Var> vars;
  map<string, int> labels;
  vector<pair<int, string>> fix;
  map<string, vector<string>> tables;
};
struct Parser {
  Module& M;
  const string& s;
  size_t p = 0;
  int line = 1;
  Fn* f = nullptr;
  vector<Scope> sc;
  u64 regtop = 0;
  bool ext = false;
  Parser(Module& m, const string& t) : M(m), s(t) {}
  void ws() {
    for (;;) {
      while (p < s.size() && isspace((unsigned char)s[p])) {
        if (s[p] == '\n') line++;
        p++;
      }
      if (p + 1 < s.size() && s[p] == '/' && s[p + 1] == '/') {
        while (p < s.size() && s[p] != '\n') p++;
      } else if (p + 1 < s.size() && s[p] == '/' && s[p + 1] == '*') {
        size_t e = s.find("*/", p);
        for (; p < e; p++) line += s[p] == '\n';
        p += 2;
      } else
        break;
    }
  }
  static bool idc(char c) { return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '%' || c == '.'; }
  string tok() {
    ws();
    if (p >= s.size()) return "";
    size_t b = p;
    if (s[p] == '"') {
      p++;
      while (s[p] != '"') p++;
      p++;
      return s.substr(b, p - b);
    }
    if (idc(s[p])) {
      while (p < s.size() && (idc(s[p]) || (s[p] == ':' && s[p + 1] == ':' && idc(s[p + 2]) && (p += 1)))) p++;
      return s.substr(b, p - b);
    }
    p++;
    return s.substr(b, 1);
  }
  char peekc() {
    ws();
    return p < s.size() ? s[p] : 0;
  }
  string peek() {
    size_t q = p;
    int l = line;
    string t = tok();
    p = q;
    line = l;
    return t;
  }
  void expect(const char* e) {
    string t = tok();
    if (t != e) die("PTX line %d: expected '%s', got '%s'", line, e, t.c_str());
  }
  void skip() {
    for (string t = tok(); t != ";" && t != ""; t = tok()) {
    }
  }
  void eol() {
    while (p < s.size() && s[p] != '\n') p++;
  }
  // registers: byte offset into the warp's register file
  u32 newreg(int size) {
    u32 r = regtop;
    regtop += size == 0 ? 4 : 32 * size;
    regtop = (regtop + 3) / 4 * 4;
    return r;
  }
  static int regsize(const string& ty) {
    T t = type_by_name(ty.substr(1));
    if (t == NOT_T) die("unknown register type %s", ty.c_str());
    return t == PRED ? 0 : tsize(t);
  }
  bool reg(const string& n, int& off, u8& size) {
    if (n[0] == '%') {
      int z;
      int r = special_reg(n, z);
      if (r >= 0) {
        off = r * SLOT;
        size = z;
        return true;
      }
    }
    size_t d = n.size();
    while (d > 0 && isdigit((unsigned char)n[d - 1])) d--;
    int idx = d < n.size() && n.size() - d < 9 ? atoi(n.c_str() + d) : -1;
    for (int i = sc.size(); i--;) {
      auto it = sc[i].regs.find(n);
      if (it != sc[i].regs.end()) {
        off = it->second.first;
        size = it->second.second;
        return true;
      }
      if (idx >= 0)
        for (auto& r : sc[i].ranges)
          if (r.prefix.size() == d && idx < r.n && n.compare(0, d, r.prefix) == 0) {
            off = r.base + idx * (r.size ? 32 * r.size : 4);
            size = r.size;
            return true;
          }
    }
    return false;
  }
  Var* var(const string& n) {
    for (int i = sc.size(); i--;) {
      auto it = sc[i].vars.find(n);
      if (it != sc[i].vars.end()) return &it->second;
    }
    auto g = M.gv.find(n);
    return g == M.gv.end() ? nullptr : &g->second;
  }
  static bool num(const string& t, u64& v) {
    if (t.empty() || !isdigit((unsigned char)t[0])) return false;
    char c = t.size() > 1 ? t[1] | 32 : 0;
    if (t[0] == '0' && ((c == 'f' && t.size() == 10) || (c == 'd' && t.size() == 18))) {
      v = strtoull(t.c_str() + 2, 0, 16);
      return true;
    }
    if (t[0] == '0' && c == 'b') {
      v = strtoull(t.c_str() + 2, 0, 2);
      return true;
    }
    v = strtoull(t.c_str(), 0, 0);
    return true;
  }
  bool symaddr(const string& n, u64& a) {
    if (Var* v = var(n)) {
      a = v->off;
      return true;
    }
    auto it = M.fns.find(n);
    if (it != M.fns.end()) {
      a = FUNC_WIN | it->second.id;
      return true;
    }
    return false;
  }
  Op opd() {
    Op o;
    string t = tok();
    u64 v;
    if (t == "{") {
      o.k = Op::VEC;
      for (;;) {
        o.v.push_back(opd());
        if (tok() == "}") break;
      }
      return o;
    }
    if (t == "[") {
      o.k = Op::MEM;
      string b = tok();
      if (num(b, v))
        o.imm = v;
      else if (!reg(b, o.off, o.size)) {
        if (!symaddr(b, o.imm)) die("PTX line %d: unknown symbol %s", line, b.c_str());
        o.sym = b;
      }
      for (string c = tok(); c != "]"; c = tok())
        if (c == "+" || c == "-") {
          bool ng = c == "-";
          string n = tok();
          if (n == "-") {
            ng = !ng;
            n = tok();
          }
          if (!num(n, v)) die("PTX line %d: address '%s'", line, n.c_str());
          o.imm += ng ? -v : v;
        } else
          die("PTX line %d: address form not supported ('%s')", line, c.c_str());
      return o;
    }
    if (t == "_") return o;
    if (t == "!") {
      o = opd();
      o.neg = !o.neg;
      return o;
    }
    if (t == "-") {
      string n = tok();
      if (!num(n, v)) die("PTX line %d: -%s", line, n.c_str());
      o.k = Op::IMM;
      o.imm = -v;
      return o;
    }
    if (t == "~") {
      string n = tok();
      if (!num(n, v)) die("PTX line %d: ~%s", line, n.c_str());
      o.k = Op::IMM;
      o.imm = ~v;
      return o;
    }
    if (num(t, v)) {
      o.k = Op::IMM;
      o.imm = v;
      return o;
    }
    if (t == "WARP_SZ") {
      o.k = Op::IMM;
      o.imm = 32;
      return o;
    }
    if (reg(t, o.off, o.size)) {
      o.k = Op::REG;
      if (peekc() == '|') {
        tok();
        string q = tok();
        if (q != "_" && !reg(q, o.off2, o.size2)) die("PTX line %d: %s", line, q.c_str());
      }
      return o;
    }
    o.sym = t;
    if (symaddr(t, o.imm)) {
      o.k = Op::IMM;
      while (peekc() == '+') {
        tok();
        string n = tok();
        if (num(n, v)) o.imm += v;
      }
    } else
      o.k = Op::LAB;
    return o;
  }
  // a variable in .shared/.global/.const/.local/.param
  void decl(u8 space) {
    u64 al = 1, n = 1;
    T t = B8;
    string name;
    int vec = 1;
    bool is_extern = ext;
    ext = false;
    for (;;) {
      string k = tok();
      if (k == ".align")
        al = stoull(tok());
      else if (k == ".v2")
        vec = 2;
      else if (k == ".v4")
        vec = 4;
      else if (k[0] == '.' && type_by_name(k.substr(1)) != NOT_T)
        t = type_by_name(k.substr(1));
      else if (k[0] == '.') {
      } else {
        name = k;
        break;
      }
    }
  again:
    n = 1;
    bool open = false;
    while (peekc() == '[') {
      tok();
      string k = tok();
      if (k == "]") {
        open = true;
      } else {
        n *= stoull(k);
        expect("]");
      }
    }
    u64 size = n * tsize(t) * vec;
    al = max<u64>(al, tsize(t) * vec);
    Var v{space, 0, size};
    vector<unsigned char> init;
    if (peekc() == '=') {
      tok();
      function<void()> rd = [&] {
        string k = tok();
        if (k == "{") {
          for (;;) {
            if (peekc() == '}') {
              tok();
              break;
            }
            rd();
            if (tok() == "}") break;
          }
        } else {
          u64 q = 0;
          bool ng = false;
          if (k == "-") {
            ng = true;
            k = tok();
          }
          if (k == "generic") {
            expect("(");
            k = tok();
            expect(")");
          }
          if (!num(k, q)) {
            if (!symaddr(k, q)) die("PTX line %d: initialiser %s", line, k.c_str());
          }
          while (peekc() == '+') {
            tok();
            u64 a;
            num(tok(), a);
            q += a;
          }
          if (ng) q = -q;
          for (int i = 0; i < tsize(t); i++) init.push_back(q >> (8 * i));
        }
      };
      rd();
      if (open) size = v.size = init.size();
    }
    if (space == SHARED) {
      if (open || (is_extern && !f))
        v.off = DYN;
      else {
        u64& c = f && f->entry ? f->smem : M.mod_smem;
        c = (c + al - 1) / al * al;
        v.off = c;
        c += size;
      }
    } else if (space == LOCAL) {
      u64& c = f->entry ? f->lmem : M.func_lmem;
      c = (c + al - 1) / al * al;
      v.off = c;
      c += size;
    } else if (space == PARAM) {
      M.pspace = (M.pspace + 15) / 16 * 16;
      v.off = M.pspace;
      M.pspace += size;
    } else {
      void* mem = aligned_alloc(256, (size + 511) / 256 * 256);
      memset(mem, 0, size);
      if (init.size()) memcpy(mem, init.data(), init.size());
      v.off = (u64)mem;
      reg_alloc(mem, size);
    }
    if (f)
      sc.back().vars[name] = v;
    else
      M.gv[name] = v;
    if (peekc() == ',') {
      tok();
      name = tok();
      goto again;
    }
    expect(";");
  }
  void close_scope() {
    Scope q = move(sc.back());
    sc.pop_back();  // resolve the labels of this block, hand the rest to the enclosing one
    for (auto& x : q.fix) {
      Ins& I = M.code[x.first];
      if (I.kind == K_BRX) {
        auto tb = q.tables.find(x.second);
        if (tb != q.tables.end()) {
          bool ok = true;
          for (auto& n : tb->second) ok &= q.labels.count(n);
          if (ok) {
            for (auto& n : tb->second) I.c->targets.push_back(q.labels[n]);
            continue;
          }
        }
      } else {
        auto it = q.labels.find(x.second);
        if (it != q.labels.end()) {
          I.target = it->second;
          continue;
        }
      }
      if (sc.size() <= 1) die("PTX: label %s not found", x.second.c_str());
      sc.back().fix.push_back(x);
    }
    if (sc.size() > 1)
      for (auto& t : q.tables) sc.back().tables.insert(t);
  }
  void stmt() {
    string t = tok();
    size_t stmt_end = p;
    if (t == "{") {
      sc.push_back({});
      return;
    }
    if (t == "}") {
      close_scope();
      return;
    }
    if (t == ";") return;
    if (t == ".extern") {
      ext = true;
      return;
    }
    if (t == ".reg") {
      string ty = tok();
      if (ty == ".v2" || ty == ".v4") die("PTX line %d: vector register", line);
      int z = regsize(ty);
      for (;;) {
        string n = tok();
        if (peekc() == '<') {
          tok();
          int c = stoi(tok());
          expect(">");
          regtop = (regtop + 127) / 128 * 128;
          RegRange r{n, (u32)regtop, c, (u8)z};
          regtop += (u64)c * (z ? 32 * z : 4);
          regtop = (regtop + 127) / 128 * 128;
          sc.back().ranges.push_back(r);
        } else {
          if (z) regtop = (regtop + 31) / 32 * 32;
          u32 r = newreg(z);
          sc.back().regs[n] = {r, (u8)z};
        }
        if (tok() == ";") break;
      }
      return;
    }
    if (t == ".shared") return decl(SHARED);
    if (t == ".local") return decl(LOCAL);
    if (t == ".param") return decl(PARAM);
    if (t == ".global") return decl(GLOBAL);
    if (t == ".const") return decl(CONST_);
    if (t == ".loc" || t == ".file") return eol();
    if (t[0] == '.') return skip();  // .pragma and the like
    if (peekc() == ':') {
      tok();
      string q = peek();
      if (q == ".branchtargets") {
        tok();
        vector<string> v;
        for (string k = tok(); k != ";"; k = tok())
          if (k != ",") v.push_back(k);
        sc.back().tables[t] = v;
        return;
      }
      if (q == ".callprototype" || q == ".calltargets") return skip();
      sc.back().labels[t] = M.code.size();
      return;
    }
    Ins I;
    I.c = make_unique<Cold>();
    Cold& C = *I.c;
    C.line = line;
    size_t b = stmt_end - t.size();
    if (t == "@") {
      string q = tok();
      if (q == "!") {
        I.pneg = true;
        q = tok();
      }
      u8 z;
      if (!reg(q, I.pred, z)) die("PTX line %d: guard %s", line, q.c_str());
      t = tok();
    }
    {
      size_t i = 0;
      bool first = true;
      while (i <= t.size()) {
        size_t e = t.find('.', i);
        if (e == string::npos) e = t.size();
        string m = t.substr(i, e - i);
        i = e + 1;
        if (first) {
          C.op = m;
          first = false;
          continue;
        }
        T ty = type_by_name(m);
        if (ty != NOT_T) {
          if (I.t == NOT_T)
            I.t = ty;
          else if (I.t2 == NOT_T)
            I.t2 = ty;
        }
        C.m.push_back(m);
      }
    }
    auto is = [&](const char* q) { return C.has(q); };
    for (auto& m : C.m) {
      if (m == "global") {
        if (C.op != "cp" || I.space == 0) I.space = GLOBAL;
      } else if (m.compare(0, 6, "shared") == 0)
        I.space = SHARED;
      else if (m == "local")
        I.space = LOCAL;
      else if (m == "const")
        I.space = CONST_;
      else if (m.compare(0, 5, "param") == 0)
        I.space = PARAM;
      else if (m == "v2")
        I.vn = 2;
      else if (m == "v4")
        I.vn = 4;
      else if (m == "v8")
        I.vn = 8;
    }
    static const pair<const char*, u32> FL[] = {{"sat", SAT},
                                                {"rni", RNI},
                                                {"rzi", RZI},
                                                {"rmi", RMI},
                                                {"rpi", RPI},
                                                {"rz", RZ},
                                                {"rm", RM},
                                                {"rp", RP},
                                                {"wide", WIDE},
                                                {"hi", HI},
                                                {"ftz", FTZ},
                                                {"NaN", NANP},
                                                {"relu", RELU},
                                                {"volatile", STRONG},
                                                {"relaxed", STRONG},
                                                {"acquire", STRONG | ACQREL},
                                                {"release", STRONG | ACQREL},
                                                {"acq_rel", STRONG | ACQREL},
                                                {"satfinite", SATFIN},
                                                {"rna", RNA},
                                                {"uni", UNI}};
    for (auto& q : FL)
      if (is(q.first)) I.fl |= q.second;
    if (C.op == "call") {  // call.uni (ret), name, (args)[, prototype];
      string k = tok();
      if (k == "(") {
        C.o.push_back(opd());
        expect(")");
        expect(",");
        k = tok();
      } else
        C.o.push_back(Op());
      Op fn;
      fn.k = Op::LAB;
      fn.sym = k;
      if (reg(k, fn.off, fn.size)) fn.k = Op::REG;
      C.o.push_back(fn);
      if (peekc() == ',') {
        tok();
        if (peekc() == '(') {
          tok();
          while (peekc() != ')') {
            C.o.push_back(opd());
            if (peekc() == ',') tok();
          }
          tok();
        }
      }
      while (tok() != ";") {
      }
    } else {
      while (peekc() != ';') {
        C.o.push_back(opd());
        if (peekc() == ',') tok();
      }
      tok();
    }
    C.text = s.substr(b, p - b);
    for (auto& ch : C.text)
      if (ch == '\n' || ch == '\t') ch = ' ';
    if (C.op == "bra") {
      I.kind = K_BRA;
      sc.back().fix.push_back({(int)M.code.size(), C.o[0].sym});
    } else if (C.op == "brx") {
      I.kind = K_BRX;
      sc.back().fix.push_back({(int)M.code.size(), C.o[1].sym});
    }
    M.code.push_back(move(I));
  }
  void func(bool entry) {
    Fn F;
    F.entry = entry;
    sc.assign(1, {});
    auto params = [&](vector<pair<u64, u64>>& out) {
      while (peekc() != ')') {
        string k = tok();
        if (k == ",") continue;
        if (k != ".param" && k != ".reg") die("PTX line %d: param %s", line, k.c_str());
        u64 al = 1, n = 1;
        T t = B8;
        string name;
        for (;;) {
          string z = tok();
          if (z == ".align")
            al = stoull(tok());
          else if (z == ".ptr" || z == ".global" || z == ".shared" || z == ".const" || z == ".local") {
          } else if (z[0] == '.' && type_by_name(z.substr(1)) != NOT_T)
            t = type_by_name(z.substr(1));
          else {
            name = z;
            break;
          }
        }
        if (peekc() == '[') {
          tok();
          n = stoull(tok());
          expect("]");
        }
        u64 size = n * tsize(t);
        al = max<u64>(al, tsize(t)), al = max<u64>(al, 1);
        u64 off;
        if (entry) {
          F.psize = (F.psize + al - 1) / al * al;
          off = F.psize;
          F.psize += size;
        } else {
          M.pspace = (M.pspace + 15) / 16 * 16;
          off = M.pspace;
          M.pspace += size;
        }
        sc[0].vars[name] = Var{PARAM, off, size};
        out.push_back({off, size});
      }
      tok();
    };
    if (peekc() == '(') {
      tok();
      vector<pair<u64, u64>> rv;
      params(rv);
      if (rv.size()) {
        F.ret = rv[0];
        F.has_ret = true;
      }
    }
    F.name = tok();
    if (peekc() == '(') {
      tok();
      params(F.params);
    }
    for (char c = peekc(); c != '{' && c != ';'; c = peekc()) {
      string k = tok();
      if (k == ".maxntid" || k == ".reqntid") {
        int n = 1;
        for (;;) {
          n *= stoi(tok());
          if (peekc() == ',')
            tok();
          else
            break;
        }
        F.maxntid = n;
      }
    }
    auto old = M.fns.find(F.name);
    F.id = old != M.fns.end() ? old->second.id : (M.fn_by_id.push_back(F.name), (int)M.fn_by_id.size() - 1);
    if (peekc() == ';') {
      tok();
      if (old == M.fns.end()) M.fns[F.name] = F;
      return;
    }
    if (entry && F.psize > ENTRY_PARAMS)
      die("kernel %s: %llu bytes of parameters", F.name.c_str(), (unsigned long long)F.psize);
    tok();
    M.fns[F.name] = F;
    f = &M.fns[F.name];
    f->start = M.code.size();
    f->smem = M.mod_smem;
    regtop = entry ? ENTRY_MARK : M.func_regs;
    size_t depth = sc.size();
    sc.push_back({});
    while (sc.size() > depth) stmt();
    if (entry)
      f->regs = regtop;
    else
      M.func_regs = (regtop + 127) / 128 * 128;
    Ins e;
    e.c = make_unique<Cold>();
    e.c->op = "ret";
    e.c->text = "<end>";
    e.c->line = line;
    M.code.push_back(move(e));
    f->end = M.code.size();
    f = nullptr;
  }
  // Entries are laid out behind all device functions, whose total size is known only at the end: their registers are
  // first placed at ENTRY_MARK and shifted down when the module is complete.
  static const u64 ENTRY_MARK = 1u << 30;
  void shift(Op& o, u64 d) {
    if (o.off >= (int)ENTRY_MARK) o.off -= d;
    if (o.off2 >= (int)ENTRY_MARK) o.off2 -= d;
    for (auto& q : o.v) shift(q, d);
  }
  void run() {
    M.func_regs = SR_COUNT * SLOT;
    for (string t = tok(); t != ""; t = tok()) {
      if (t == ".version")
        eol();
      else if (t == ".target") {
        string k = tok();
        M.target = atoi(k.c_str() + 3);
        eol();
      } else if (t == ".address_size")
        eol();
      else if (t == ".entry") {
        ext = false;
        func(true);
      } else if (t == ".func") {
        ext = false;
        func(false);
      } else if (t == ".global")
        decl(GLOBAL);
      else if (t == ".const")
        decl(CONST_);
      else if (t == ".shared")
        decl(SHARED);
      else if (t == ".file")
        eol();
      else if (t == ".section") {
        while (tok() != "}") {
        }
      } else if (t == ".extern")
        ext = true;
      else if (t == ".visible" || t == ".weak" || t == ".common" || t == ".noreturn") {
      } else if (t == ".alias" || t == ".pragma")
        skip();
      else
        die("PTX line %d: module-level '%s'", line, t.c_str());
    }
    u64 d = ENTRY_MARK - M.func_regs;
    for (auto& q : M.fns)
      if (q.second.entry && q.second.start >= 0) {
        Fn& e = q.second;
        e.regs -= d;
        e.smem = max(e.smem, M.mod_smem);
        for (int k = e.start; k < e.end; k++) {
          Ins& I = M.code[k];
          if (I.pred >= (int)ENTRY_MARK) I.pred -= d;
          for (auto& o : I.c->o) shift(o, d);
        }
      }
    M.cpool.reserve(1 << 16);
    for (auto& I : M.code) decode(M, I);
  }
};
}  // namespace
void parse_module(Module& M, const string& text) {
  Parser(M, text).run();
}
