"""Single-operator cases with onnxruntime's outputs, in the format of ONNX's conformance cases: every combination of attributes that those leave out.

    python operators.py FOLDER                                     # a folder that does not exist; onnx 1.23.2, onnxruntime 1.32.0
    cargo run --release --example conformance -- FOLDER
"""
import os, sys, shutil, itertools, json
import numpy as np, onnx, onnxruntime as ort
from onnx import helper as H, TensorProto as T, numpy_helper as NH
ort.set_default_logger_severity(4)
OUT = sys.argv[1]
os.makedirs(OUT)
rng=np.random.default_rng(0)
stat={'made':0,'ortfail':0}
seen={}
def f(*s): return rng.standard_normal(s).astype(np.float32)
def save(name, model, feeds):
    so=ort.SessionOptions(); so.intra_op_num_threads=1; so.inter_op_num_threads=1; so.graph_optimization_level=ort.GraphOptimizationLevel.ORT_DISABLE_ALL; so.log_severity_level=4
    try:
        s=ort.InferenceSession(model.SerializeToString(), so, providers=['CPUExecutionProvider'])
        outs=s.run(None, feeds)
    except Exception as e:
        stat['ortfail']+=1; k=name.split('__')[0]; seen.setdefault(k,str(e)[:200]); return
    n=name; i=0
    while os.path.exists(f'{OUT}/{n}'): i+=1; n=f'{name}_{i}'
    d=f'{OUT}/{n}'; os.makedirs(d+'/test_data_set_0')
    open(d+'/model.onnx','wb').write(model.SerializeToString())
    for i,p in enumerate(model.graph.input):
        open(f'{d}/test_data_set_0/input_{i}.pb','wb').write(NH.from_array(feeds[p.name],p.name).SerializeToString())
    for i,(p,o) in enumerate(zip(model.graph.output,outs)):
        open(f'{d}/test_data_set_0/output_{i}.pb','wb').write(NH.from_array(np.asarray(o),p.name).SerializeToString())
    stat['made']+=1
def model(nodes, feeds, inits, nout=1, opset=17, outt=None, outputs=None):
    ins=[H.make_tensor_value_info(k,H.np_dtype_to_tensor_dtype(v.dtype),v.shape) for k,v in feeds.items()]
    its=[v if isinstance(v,onnx.TensorProto) else NH.from_array(np.asarray(v),k) for k,v in inits.items()]
    outputs=outputs or ['y']
    outs=[H.make_empty_tensor_value_info(o) for o in outputs]
    g=H.make_graph(nodes,'g',ins,outs,its)
    m=H.make_model(g,opset_imports=[H.make_opsetid('',opset)]); m.ir_version=8 if opset<21 else 10
    try:
        m2=onnx.shape_inference.infer_shapes(m)
        for a,b in zip(m.graph.output,m2.graph.output): a.CopyFrom(b)
    except Exception: pass
    for i,o in enumerate(m.graph.output):
        if not o.type.tensor_type.elem_type: o.type.tensor_type.elem_type = (outt or [T.FLOAT]*9)[i]
    return m
def case(name, op, ins, inits=None, opset=17, nout=1, outt=None, order=None, **attr):
    inits=inits or {}
    names=order if order is not None else list(ins)+list(inits)
    outs=['y']+[f'y{i}' for i in range(1,nout)]
    attr={k:v for k,v in attr.items() if v is not None}
    n=H.make_node(op,names,outs,**attr)
    save(f'{op}_{opset}__{name}', model([n],ins,inits,nout,opset,outt,outs), ins)

# Conv
for dim in (1,2):
  for ap in ('NOTSET','VALID','SAME_UPPER','SAME_LOWER'):
    for st,dl,k,g,b in [(1,1,3,1,1),(2,1,3,1,0),(2,1,4,2,1),(1,2,2,1,1),(3,1,5,2,0),(2,2,3,4,1),(3,1,2,1,1),(2,1,1,1,1),(1,3,2,4,0)]:
      for S in (9,10):
        x=f(2,4,*([S]+[S+3]*(dim-1))); w=f(8,4//g,*([k]+[max(1,k-1)]*(dim-1)))
        if ap.startswith('SAME') and dl>1: 
            pass
        pads=None
        if ap=='NOTSET': pads=[1,0,2,1][:2*dim] if dim==2 else [2,1]
        it={'w':w}
        if b: it['b']=f(8)
        case(f'{dim}d_{ap}_s{st}d{dl}k{k}g{g}b{b}_{S}','Conv',{'x':x},it,opset=11,auto_pad=ap,strides=[st]+[st+1 if st>1 else 1]*(dim-1),dilations=[dl]*dim,group=g,pads=pads)
# ConvTranspose
for dim in (1,2):
  for ap in ('NOTSET','VALID','SAME_UPPER','SAME_LOWER'):
    for st,dl,k,g,op,osh in [(1,1,3,1,0,None),(2,1,3,1,1,None),(2,1,3,2,0,None),(3,1,2,1,0,None),(3,2,3,2,1,None),(2,1,4,1,0,20),(2,1,4,1,0,17),(2,1,3,1,0,19),(3,1,3,1,0,25),(2,1,3,1,1,18)]:
        x=f(2,4,*([8]+[6]*(dim-1))); w=f(4,6//g,*([k]*dim))
        pads=None
        if ap=='NOTSET' and osh is None: pads=[1,0,0,1] if dim==2 else [1,0]
        o=None
        if osh: o=[osh]+[osh-4]*(dim-1)
        case(f'{dim}d_{ap}_s{st}d{dl}k{k}g{g}op{op}os{osh}','ConvTranspose',{'x':x},{'w':w,'b':f(6)},opset=11,auto_pad=ap,strides=[st]*dim,dilations=[dl]*dim,group=g,pads=pads,output_padding=[op]*dim if op else None,output_shape=o)
# Pools
for op in ('MaxPool','AveragePool'):
 for dim in (1,2):
  for ap in ('NOTSET','VALID','SAME_UPPER','SAME_LOWER'):
   for k,st,p,dl in [(2,2,None,1),(3,2,[1,1],1),(3,2,[0,1],1),(3,2,[1,0],1),(3,3,[1,2],1),(2,1,[1,0],1),(4,3,[2,1],1),(3,1,[1,1],2),(2,3,[0,1],2),(5,2,[2,2],1),(2,3,[1,1],1)]:
    for cm in (0,1):
     for cip in ((0,1) if op=='AveragePool' else (0,)):
      for S in (7,8):
        if ap!='NOTSET' and (p!=None): continue
        pads=None if p is None else [p[0]]*dim+[p[1]]*dim
        x=f(2,3,*([S]+[S+2]*(dim-1)))
        kw={}
        if op=='AveragePool': kw['count_include_pad']=cip
        if dl>1: kw['dilations']=[dl]*dim
        case(f'{dim}d_{ap}_k{k}s{st}p{p}d{dl}cm{cm}cip{cip}_{S}','%s'%op,{'x':x},{},opset=19 if op=='AveragePool' else 12,auto_pad=ap,kernel_shape=[k]*dim,strides=[st]*dim,pads=pads,ceil_mode=cm,**kw)
        if op=='AveragePool' and dl==1 : case(f'{dim}d_{ap}_k{k}s{st}p{p}d{dl}cm{cm}cip{cip}_{S}','%s'%op,{'x':x},{},opset=11,auto_pad=ap,kernel_shape=[k]*dim,strides=[st]*dim,pads=pads,ceil_mode=cm,count_include_pad=cip)
for dim in (1,2):
    for op in('GlobalAveragePool','GlobalMaxPool'): case(f'{dim}',op,{'x':f(2,3,*[5]*dim)})
# Gemm
for ta in (0,1):
 for tb in (0,1):
  for al,be in ((1,1),(.5,1),(1,.25),(2,0)):
   for c in (None,(),(1,),(5,),(1,5),(4,1),(4,5)):
    A=f(*((3,4) if ta else (4,3))); B=f(*((5,3) if tb else (3,5)))
    it={'B':B}
    if c is not None: it['C']=f(*c) if c!=() else np.float32(1.5)
    case(f'ta{ta}tb{tb}a{al}b{be}c{c}','Gemm',{'A':A},it,opset=13,transA=ta,transB=tb,alpha=float(al),beta=float(be))
# MatMul
for a,b in [((3,),(3,)),((3,),(3,4)),((2,3),(3,)),((5,2,3),(3,)),((3,),(5,3,4)),((5,2,3),(3,4)),((5,2,3),(1,3,4)),((1,2,3),(5,3,4)),((2,1,2,3),(4,3,2)),((2,3,4,5),(2,1,5,6)),((2,3),(4,3,5)),((4,1,1,3),(1,6,3,1))]:
    case(f'{a}{b}'.replace(' ',''),'MatMul',{'a':f(*a)},{'b':f(*b)}); case(f'v{a}{b}'.replace(' ',''),'MatMul',{'a':f(*a),'b':f(*b)})
# norms
for rank in (2,3,4,5):
  for os_ in (7,9,14,15):
    s=[2,3,4,5,2][:rank]; case(f'r{rank}','BatchNormalization',{'x':f(*s)},{'s':f(3),'b':f(3),'m':f(3),'v':np.abs(f(3))},opset=os_,epsilon=1e-2)
case('5out','BatchNormalization',{'x':f(2,3,4,4)},{'s':f(3),'b':f(3),'m':f(3),'v':np.abs(f(3))},opset=9)
for ax in (-1,-2,0,1,2,3):
    s=[2,3,4,5]; r=s[ax:] if ax>=0 else s[ax:]
    case(f'ax{ax}','LayerNormalization',{'x':f(*s)},{'s':f(*r),'b':f(*r)},axis=ax,nout=3); case(f'ax{ax}nob','LayerNormalization',{'x':f(*s)},{'s':f(*r)},axis=ax)
    case(f'ax{ax}bc','LayerNormalization',{'x':f(*s)},{'s':f(s[-1]) if True else 0},axis=ax)
for g in (1,2,3,6):
    case(f'g{g}','GroupNormalization',{'x':f(2,6,4,5)},{'s':f(g),'b':f(g)},opset=18,num_groups=g)
    case(f'g{g}','GroupNormalization',{'x':f(2,6,4,5)},{'s':f(6),'b':f(6)},opset=21,num_groups=g)
    case(f'g{g}r3','GroupNormalization',{'x':f(2,6,4)},{'s':f(6),'b':f(6)},opset=21,num_groups=g)
for r in (3,4,5): case(f'r{r}','InstanceNormalization',{'x':f(*[2,3,4,5,2][:r])},{'s':f(3),'b':f(3)},epsilon=1e-3)
for sz in (1,2,3,4,5,9): case(f's{sz}','LRN',{'x':f(2,6,3,3)},{},size=sz,alpha=.5,beta=.6,bias=1.5)
# reductions
for op in 'Mean Sum Max Min Prod L1 L2 SumSquare LogSum LogSumExp'.split():
  for ax in (None,[0],[1],[-1],[0,2],[1,3],[-1,-3],[0,1,2,3],[3,1]):
    for kd in (0,1):
      x=np.abs(f(2,3,4,2)) if op=='LogSum' else f(2,3,4,2)
      old=11
      case(f'{ax}k{kd}','Reduce'+op,{'x':x},{},opset=old,axes=ax,keepdims=kd)
      case(f'{ax}k{kd}','Reduce'+op,{'x':x},{'a':np.array(ax,np.int64)} if ax else {},opset=18,keepdims=kd)
  case('noop','Reduce'+op,{'x':np.abs(f(2,3))},{'a':np.array([],np.int64)},opset=18,noop_with_empty_axes=1)
  case('noop2','Reduce'+op,{'x':np.abs(f(2,3))},{},opset=18,noop_with_empty_axes=1)
  for dt in (np.int64,np.int32): case(f'int{dt.__name__}','Reduce'+op,{'x':rng.integers(-5,6,(2,3,4)).astype(dt)},{'a':np.array([1],np.int64)},opset=18,outt=[T.INT64])
# softmax
for op in ('Softmax','LogSoftmax'):
  for os_ in (7,11,13):
    for ax in (None,0,1,2,3,-1,-2):
      case(f'ax{ax}',op,{'x':f(2,3,4,5)},{},opset=os_,axis=ax)
# resize
for mode in ('nearest','linear','cubic'):
  for ct in ('half_pixel','pytorch_half_pixel','align_corners','asymmetric','half_pixel_symmetric'):
    for nm in (('round_prefer_floor','round_prefer_ceil','floor','ceil') if mode=='nearest' else (None,)):
      for kind,v in [('s',[1,1,.2,.4]),('s',[1,1,.4,1.1]),('s',[1,1,2,2]),('s',[1,1,.5,.5]),('s',[1,1,1.5,.7]),('s',[1,1,.6,2.3]),('z',[1,2,9,3]),('z',[1,2,4,11]),('z',[1,2,1,1]),('z',[1,2,5,7]),('s',[1,1,.3,3])]:
        for os_ in ((11,13) if ct!='half_pixel_symmetric' else (19,)):
          x=f(1,2,5,7)
          it={'roi':np.array([],np.float32),'sc':np.array(v if kind=='s' else [],np.float32)}
          if kind=='z': it['sz']=np.array(v,np.int64)
          case(f'{mode}_{ct}_{nm}_{kind}{v}'.replace(' ',''),'Resize',{'x':x},it,opset=os_,mode=mode,coordinate_transformation_mode=ct,nearest_mode=nm)
    if mode!='nearest':
      for v in ([1,2,3,4],[1,2,9,3],[1,2,2,2]):
        for ex in (0,1):
          case(f'{mode}_{ct}_aa_{v}ex{ex}'.replace(' ',''),'Resize',{'x':f(1,2,7,8)},{'sz':np.array(v,np.int64)},opset=19,order=['x','','','sz'],mode=mode,coordinate_transformation_mode=ct,antialias=1,exclude_outside=ex)
          if mode=='cubic': case(f'{mode}_{ct}_ex_{v}ex{ex}'.replace(' ',''),'Resize',{'x':f(1,2,7,8)},{'sz':np.array(v,np.int64)},opset=19,order=['x','','','sz'],mode=mode,coordinate_transformation_mode=ct,exclude_outside=ex,cubic_coeff_a=-.5)
for pol in ('stretch','not_larger','not_smaller'):
  for mode in ('nearest','linear'):
   for sz in ([9,3],[4,11],[3,3]):
    case(f'{mode}{pol}{sz}','Resize',{'x':f(1,2,5,7)},{'sz':np.array(sz,np.int64)},opset=18,order=['x','','','sz'],mode=mode,axes=[2,3],keep_aspect_ratio_policy=pol)
for mode in ('nearest','linear'):
  for sc in ([1,1,2,2],[1,1,1.5,2.5],[1,1,.5,.5],[1,1,.6,.7]):
    case(f'{mode}{sc}','Upsample',{'x':f(1,2,5,7)},{'s':np.array(sc,np.float32)},opset=9,mode=mode)
    case(f'{mode}{sc}','Upsample',{'x':f(1,2,5,7)},{},opset=7,mode=mode,scales=[float(v) for v in sc])
    case(f'{mode}{sc}','Resize',{'x':f(1,2,5,7)},{'s':np.array(sc,np.float32)},opset=10,mode=mode)
# pad
for mode in ('constant','reflect','edge','wrap'):
  for p in ([0,0,1,2,0,0,2,1],[0,0,-1,0,0,0,0,-2],[0,0,-1,2,0,0,2,-1],[0,0,3,3,0,0,3,3],[0,0,-2,-1,0,0,-1,-1],[0,1,0,0,1,0,0,0]):
    for val in (None,1.5):
      it={'p':np.array(p,np.int64)}
      if val: it['v']=np.float32(val)
      case(f'{mode}{p}{val}'.replace(' ',''),'Pad',{'x':f(2,3,4,5)},it,opset=19 if mode=='wrap' else 13,mode=mode)
    case(f'attr{mode}{p}'.replace(' ',''),'Pad',{'x':f(2,3,4,5)},{},opset=9,mode=mode,pads=p,value=.5)
  case(f'axes{mode}','Pad',{'x':f(2,3,4,5)},{'p':np.array([1,2,-1,1],np.int64),'v':np.float32(2),'a':np.array([-1,2],np.int64)},opset=18,mode=mode)
  case(f'axesnov{mode}','Pad',{'x':f(2,3,4,5)},{'p':np.array([1,2],np.int64),'a':np.array([3],np.int64)},opset=18,order=['x','p','','a'],mode=mode)
# slice
M=2**63-1
for s,e,a,st in [([1],[3],[0],None),([-2],[M],[1],None),([0],[-1],[-1],None),([M],[-M-1],[2],[-1]),([-1],[-M-1],[1],[-2]),([5],[2],[1],None),([0,1],[M,4],[1,2],[2,2]),([-100],[100],[1],[3]),([3],[-100],[3],[-1]),([0],[0],[1],None),([2**31-1],[-2**31],[1],[-1]),([-3],[-1],None,None)]:
  it={'s':np.array(s),'e':np.array(e)}; order=['x','s','e']
  if a: it['a']=np.array(a); order.append('a')
  elif st: order.append('')
  if st: it['t']=np.array(st); order.append('t')
  case(f'{s}{e}{a}{st}'.replace(' ',''),'Slice',{'x':f(3,4,5,4)},it,opset=13,order=order)
  if not st: case(f'{s}{e}{a}'.replace(' ',''),'Slice',{'x':f(3,4,5,4)},{},opset=9,starts=s,ends=e,axes=a)
# gather
for ax in (0,1,-1):
  for idx in (np.array([0,-1]),np.array(-2),np.array([[0,1],[-1,-2]]),np.array([1],np.int32),np.zeros((0,),np.int64)):
    case(f'{ax}{idx.tolist()}'.replace(' ',''),'Gather',{'x':f(3,4,2)},{'i':idx},axis=ax)
  case(f'{ax}','GatherElements',{'x':f(3,4,2)},{'i':rng.integers(-2,2,(2,3,2))},axis=ax)
# split
for os_,kw,it in [(11,dict(split=[1,3]),{}),(13,{},{'s':np.array([3,1])}),(11,{},{}),(18,dict(num_outputs=2),{}),(13,{},{'s':np.array([0,4])})]:
  case(f'{kw}{list(it)}','Split',{'x':f(3,4,2)},it,opset=os_,nout=2,axis=1,**kw)
case('uneven','Split',{'x':f(3,7)},{},opset=18,nout=3,axis=-1,num_outputs=3); case('uneven4','Split',{'x':f(3,6)},{},opset=18,nout=4,axis=-1,num_outputs=4)
# reshape etc.
for sh,az in [([0,-1],0),([-1],0),([2,0,2,-1],0),([4,3,2],0),([0,0,0],0),([0,-1,1,1],0)]: case(f'{sh}{az}'.replace(' ',''),'Reshape',{'x':f(2,3,4)},{'s':np.array(sh)},opset=14,allowzero=az)
case('az','Reshape',{'x':f(0,3,4)},{'s':np.array([3,0])},opset=14,allowzero=1); case('azd','Reshape',{'x':f(0,3,4)},{'s':np.array([0,12])},opset=14)
for ax in (-3,-1,0,1,2,3): case(f'{ax}','Flatten',{'x':f(2,3,4)},{},opset=13,axis=ax)
for e in ([3],[2,1,4],[5,2,3,4],[1],[1,1,1,1]): case(f'{e}','Expand',{'x':f(2,1,4) if e!=[3] else f(2,3,1)},{'s':np.array(e)})
for t in ([1,2,3],[2,1,1],[0,1,1],[3,3,3]): case(f'{t}','Tile',{'x':f(2,1,4)},{'t':np.array(t)})
case('b','Where',{'c':f(2,1,3)>0,'x':f(1,4,1),'y':f(3)}); case('c','Where',{'x':f(1,4,1)},{'c':f(2,1,3)>0,'y':f(3)},order=['c','x','y'])
for a,b in ((None,.5),(-.5,None),(-.5,.5),(.5,-.5),(None,None)):
  it={}; o=['x']
  if a is not None: it['a']=np.float32(a); o.append('a')
  elif b is not None: o.append('')
  if b is not None: it['b']=np.float32(b); o.append('b')
  for os_ in (11,12,13): case(f'{a}{b}','Clip',{'x':f(3,4)},it,opset=os_,order=o)
  case(f'{a}{b}','Clip',{'x':f(3,4)},{},opset=7,min=a,max=b)
for fm in (0,1):
  case(f'i{fm}','Mod',{'a':rng.integers(-9,9,(3,4)),'b':np.array([3,-3,5,-7])},{},fmod=fm,outt=[T.INT64])
case('f','Mod',{'a':f(3,4)*5,'b':np.array([3,-3,.5,-.7],np.float32)},{},fmod=1); case('fbig','Mod',{'a':f(3,4)*50000},{'b':np.array([.3,-.3,.5,-.7],np.float32)},fmod=1)
for e in (0.,1.,2.,3.,4.,-1.,-2.,.5,-.5,1.5,5.,-3.):
  case(f's{e}','Pow',{'x':f(3,4)},{'e':np.float32(e)}); case(f'v{e}','Pow',{'x':f(3,4)},{'e':np.array([e],np.float32)})
  case(f'm{e}','Pow',{'x':f(3,4)},{'e':np.array([e]*4,np.float32)}); case(f't{e}','Pow',{'x':f(3,4),'e':np.full((3,4),e,np.float32)})
  case(f'z{e}','Pow',{'x':np.zeros((2,2),np.float32)},{'e':np.array([e,e],np.float32)})
for e in (2,3,-1,0): case(f'int{e}','Pow',{'x':f(3,4)},{'e':np.array([e,e,e,e],np.int64)}); case(f'int1{e}','Pow',{'x':f(3,4)},{'e':np.int32(e)})
case('base','Pow',{'e':f(3,4)},{'b':np.float32(2)},order=['b','e']); case('ii','Pow',{'a':rng.integers(-3,4,(3,4)),'b':rng.integers(0,4,(4,))},{},outt=[T.INT64])
case('if','Pow',{'a':rng.integers(-3,4,(3,4))},{'b':np.float32(2)},outt=[T.INT64])
# activations
for op in 'Relu LeakyRelu Elu Selu Sigmoid HardSigmoid Tanh Softplus Softsign Erf Celu ThresholdedRelu HardSwish Mish Abs Neg Exp Sqrt Log Reciprocal Floor Ceil Round Sign Sin Cos'.split():
  for sc in (1.,30.,300.):
    for os_ in (14,18): case(f'{sc}',op,{'x':np.concatenate([f(30)*sc,np.array([0,-0.,.5,-.5,1.5,2.5,-1.5,1e-6,-1e-6,1e4,-1e4,3,-3],np.float32)])},{},opset=os_)
for al in (.3,-.5,0.,2.):
  for op in ('LeakyRelu','Elu','Celu','ThresholdedRelu','HardSigmoid'): 
    if op=='Celu' and al==0: continue
    case(f'al{al}',op,{'x':f(4,5)*3},{},alpha=al)
for ap in ('none','tanh'): case(ap,'Gelu',{'x':f(40)*4},{},opset=20,approximate=ap)
for s in ((1,),(3,1,1),(3,4,5),(5,),(4,1)): case(f'{s}','PRelu',{'x':f(2,3,4,5)},{'s':f(*s)},opset=16)
# depth
for m in ('DCR','CRD'): case(m,'DepthToSpace',{'x':f(2,8,3,4)},{},mode=m,blocksize=2)
case('','SpaceToDepth',{'x':f(2,3,4,6)},{},blocksize=2)
case('','ScatterND',{'x':f(4,5,2)},{'i':np.array([[0,1],[-1,2],[0,1]]),'u':f(3,2)}); case('dep','ScatterND',{'x':f(4,5),'u':f(2,5)},{'i':np.array([[2],[0]])},order=['x','i','u'])
case('3','ScatterND',{'x':f(4,5,2)},{'i':np.array([[[0,1,0],[1,1,1]]]),'u':f(1,2)})
for ax in (0,1,-1): case(f'{ax}','Concat',{'a':f(2,3),'b':f(2,3)},{'c':f(2,3)},axis=ax)
case('empty','Concat',{'a':f(2,0),'b':f(2,3)},{},axis=1)
for op in ('Min','Max','Sum','Mean'): case('3',op,{'a':f(2,3),'b':f(3),'c':f(2,1)}); case('1',op,{'a':f(2,3)}); case('nan',op,{'a':np.array([np.nan,1,-np.inf],np.float32),'b':np.array([1,np.nan,2],np.float32)})
for op in ('Squeeze','Unsqueeze'):
  for ax in ([0],[-1],[0,-1],[0,2]):
    x=f(1,3,1) if op=='Squeeze' else f(3,2)
    case(f'{ax}',op,{'x':x},{},opset=11,axes=ax); case(f'{ax}',op,{'x':x},{'a':np.array(ax)},opset=13)
case('none','Squeeze',{'x':f(1,3,1)})
for p in (None,[0,2,1],[2,0,1]): case(f'{p}','Transpose',{'x':f(2,3,4)},{},perm=p)
for st,en in ((0,None),(1,None),(-2,None),(0,-1),(1,100),(3,1),(-100,2)): case(f'{st}{en}','Shape',{'x':f(2,3,4)},{},opset=15,start=st,end=en,outt=[T.INT64])
case('','Size',{'x':f(2,3,4)},{},outt=[T.INT64])
for v in (NH.from_array(np.array([2.5],np.float32)),NH.from_array(np.array([3],np.int64)),NH.from_array(np.array([True])),None): case('v','ConstantOfShape',{},{'s':np.array([2,3])},value=v,outt=[v.data_type if v is not None else T.FLOAT])
case('e','ConstantOfShape',{},{'s':np.array([],np.int64)})
for a in ((0,10,3),(10,0,-3),(0,0,1),(5,0,1)): case(f'i{a}','Range',{},{k:np.int64(v) for k,v in zip('slt',a)},outt=[T.INT64]); case(f'f{a}','Range',{},{k:np.float32(v) for k,v in zip('slt',np.array(a)*.1)})
# casts
types={'f32':T.FLOAT,'f16':T.FLOAT16,'f64':T.DOUBLE,'i8':T.INT8,'u8':T.UINT8,'i16':T.INT16,'u16':T.UINT16,'i32':T.INT32,'i64':T.INT64,'u32':T.UINT32,'b':T.BOOL,'bf':T.BFLOAT16}
for a in types:
  for b in types:
    x=np.array([0,1,-1,2.7,-2.7,100.5,3,127.],np.float32)
    ns=[H.make_node('Cast',['x'],['m'],to=types[a]),H.make_node('Cast',['m'],['n'],to=types[b]),H.make_node('Cast',['n'],['y'],to=T.FLOAT)]
    if a[0]=='u' or b[0]=='u': x=np.abs(x)
    save(f'Cast_17__{a}_{b}',model(ns,{'x':x},{}),{'x':x})
    save(f'CastHost_17__{a}_{b}',model(ns,{},{'x':x}),{})
# comparisons
for op in ('Equal','Greater','Less','GreaterOrEqual','LessOrEqual'):
  case('f',op,{'a':np.round(f(3,4)),'b':np.round(f(4))},{},outt=[T.BOOL]); case('i',op,{'a':rng.integers(0,3,(3,4)),'b':rng.integers(0,3,(4,))},{},outt=[T.BOOL])
  x=f(3,4)
  ns=[H.make_node(op,['x','z'],['m']),H.make_node('Less',['x','o'],['n']),H.make_node('And',['m','n'],['q']),H.make_node('Not',['q'],['r']),H.make_node('Or',['r','m'],['s']),H.make_node('Xor',['s','n'],['t']),H.make_node('Where',['t','x','o'],['y'])]
  save(f'chain_17__{op}',model(ns,{'x':x},{'z':np.float32(0),'o':np.float32(.5)}),{'x':x})
  ns=[H.make_node(op,['x','z'],['m']),H.make_node('Cast',['m'],['c'],to=1),H.make_node('Mul',['c','x'],['y'])]
  save(f'chain2_17__{op}',model(ns,{'x':x},{'z':np.float32(0)}),{'x':x})
# integer shape arithmetic
for d in (2,3):
  x=f(2,3,4,6)
  ns=[H.make_node('Shape',['x'],['sh']),H.make_node('Gather',['sh','i1'],['c'],axis=0),H.make_node('Gather',['sh','i0'],['n'],axis=0),H.make_node('Mul',['c','d'],['cd']),H.make_node('Div',['cd','d2'],['q']),
      H.make_node('Unsqueeze',['n','ax'],['nu']),H.make_node('Unsqueeze',['q','ax'],['qu']),H.make_node('Concat',['nu','qu','m1'],['s'],axis=0),H.make_node('Reshape',['x','s'],['y'])]
  save(f'shape_17__{d}',model(ns,{'x':x},{'i1':np.int64(1),'i0':np.int64(0),'d':np.int64(d*2),'d2':np.int64(d),'ax':np.array([0]),'m1':np.array([-1])}),{'x':x})
x=f(2,3,4,6)
ns=[H.make_node('Shape',['x'],['sh']),H.make_node('Slice',['sh','two','four'],['hw']),H.make_node('Cast',['hw'],['f'],to=1),H.make_node('Mul',['f','k'],['g']),H.make_node('Floor',['g'],['h']),H.make_node('Cast',['h'],['i'],to=7),H.make_node('Slice',['sh','zero','two'],['nc']),H.make_node('Concat',['nc','i'],['sz'],axis=0),H.make_node('Resize',['x','','','sz'],['y'],mode='linear')]
save('shapefloat_17__resize',model(ns,{'x':x},{'two':np.array([2]),'four':np.array([4]),'zero':np.array([0]),'k':np.array([2,2],np.float32)}),{'x':x})
ns=[H.make_node('Concat',['o','k'],['sc'],axis=0),H.make_node('Resize',['x','','sc'],['y'],mode='linear')]
save('scalesconcat_17__resize',model(ns,{'x':x},{'o':np.array([1,1],np.float32),'k':np.array([2,2],np.float32)}),{'x':x})
ns=[H.make_node('Cast',['k'],['sc'],to=7),H.make_node('Reshape',['x','sc'],['y'])]
save('floatcast_17__reshape',model(ns,{'x':x},{'k':np.array([6,24],np.float32)}),{'x':x})
ns=[H.make_node('Shape',['x'],['sh']),H.make_node('Cast',['sh'],['f'],to=1),H.make_node('Clip',['f','one','ten'],['g']),H.make_node('Relu',['g'],['g2']),H.make_node('Cast',['g2'],['i'],to=7),H.make_node('Reshape',['x','i'],['y'])]
save('floatclip_17__reshape',model(ns,{'x':x},{'one':np.float32(1),'ten':np.float32(10)}),{'x':x})
ns=[H.make_node('Shape',['x'],['sh']),H.make_node('Add',['sh','z'],['f']),H.make_node('Relu',['f'],['g']),H.make_node('Reshape',['x','g'],['y'])]
save('intaddrelu_17__reshape',model(ns,{'x':x},{'z':np.array([0])}),{'x':x})
ns=[H.make_node('Shape',['x'],['sh']),H.make_node('ReduceProd',['sh'],['p'],keepdims=1),H.make_node('Range',['zero','six','one'],['r']),H.make_node('Equal',['r','two'],['e']),H.make_node('Where',['e','z','o'],['w']),H.make_node('Mul',['x','w'],['y0']),H.make_node('Reshape',['y0','p'],['y'])]
save('mask_17__where',model(ns,{'x':x},{'zero':np.int64(0),'six':np.int64(6),'one':np.int64(1),'two':np.int64(2),'z':np.float32(0),'o':np.float32(1)}),{'x':x})
# constants of every type
for t in types:
  for rawd in (0,1):
    a=np.array([0,1,1,2],np.float32) if t!='b' else np.array([0,1,1,0],np.float32)
    dt=H.tensor_dtype_to_np_dtype(types[t])
    arr=a.astype(dt)
    if rawd: tp=H.make_tensor('k',types[t],[4],arr.tobytes(),raw=True)
    else: tp=H.make_tensor('k',types[t],[4],arr.tolist() if t not in('f16','bf') else a.tolist())
    ns=[H.make_node('Cast',['k'],['c'],to=1),H.make_node('Add',['x','c'],['y'])]
    x4=f(3,4)
    for os_ in (9,13,17,21): save(f'const_{os_}__{t}{rawd}',model(ns,{'x':x4},{'k':tp},opset=os_),{'x':x4})
    ns2=[H.make_node('Constant',[],['k'],value=tp)]+ns
    save(f'constnode_17__{t}{rawd}',model(ns2,{'x':x4},{}),{'x':x4})
for op in ('Add','Sub','Mul','Div'):
  for os_ in (7,13,14): 
    case('b',op,{'a':f(2,3,4),'b':f(3,1)},{},opset=os_); case('i',op,{'a':rng.integers(-9,9,(2,3)),'b':np.array([2,-2,5])},{},opset=os_,outt=[T.INT64])
# fusions that must not match / must match
def net(name,nodes,inits,x,opset=17): save('fuse_%d__%s'%(opset,name),model(nodes,{'x':x},inits,opset=opset),{'x':x})
N=H.make_node; x=f(2,4,6,6)*2
net('sig_other',[N('Relu',['x'],['z']),N('Sigmoid',['z'],['s']),N('Mul',['x','s'],['y'])],{},x)
net('sig_same',[N('Sigmoid',['x'],['s']),N('Mul',['s','x'],['y'])],{},x)
net('sig_twice',[N('Sigmoid',['x'],['s']),N('Mul',['s','x'],['m']),N('Add',['m','s'],['y'])],{},x)
for a,b in ((1/6,.5),(.2,.5),(1/6,.4)): net(f'hs{a:.2f}{b}',[N('HardSigmoid',['x'],['s'],alpha=a,beta=b),N('Mul',['x','s'],['y'])],{},x)
for nm,c,one,h in (('ok',2**.5,1.,.5),('c',1.5,1.,.5),('one',2**.5,1.1,.5),('h',2**.5,1.,.4)):
  it={'c':np.float32(c),'one':np.float32(one),'h':np.float32(h)}
  net('gelu'+nm,[N('Div',['x','c'],['d']),N('Erf',['d'],['e']),N('Add',['e','one'],['a']),N('Mul',['x','a'],['m']),N('Mul',['m','h'],['y'])],it,x)
  net('gelu2'+nm,[N('Div',['x','c'],['d']),N('Erf',['d'],['e']),N('Add',['e','one'],['a']),N('Mul',['x','h'],['m']),N('Mul',['m','a'],['y'])],it,x)
  net('gelu3'+nm,[N('Div',['x','c'],['d']),N('Erf',['d'],['e']),N('Add',['e','one'],['a']),N('Mul',['a','h'],['m']),N('Mul',['x','m'],['y'])],it,x)
net('gelurank',[N('Div',['x','c'],['d']),N('Erf',['d'],['e']),N('Add',['e','one'],['a']),N('Mul',['x','a'],['m']),N('Mul',['m','h'],['y'])],{'c':np.full((1,1,1,1,1),2**.5,np.float32),'one':np.float32(1),'h':np.float32(.5)},x)
net('gelux2',[N('Div',['c','x'],['d']),N('Erf',['d'],['e']),N('Add',['e','one'],['a']),N('Mul',['x','a'],['m']),N('Mul',['m','h'],['y'])],{'c':np.float32(2**.5),'one':np.float32(1),'h':np.float32(.5)},x)
for lo,hi,t,s in ((0,6,3,6),(0,6,2,6),(0,5,3,6),(-1,6,3,6),(0,6,3,5)):
  net(f'hsw{lo}{hi}{t}{s}',[N('Add',['x','t'],['a']),N('Clip',['a','lo','hi'],['c']),N('Mul',['x','c'],['m']),N('Div',['m','s'],['y'])],{'t':np.float32(t),'lo':np.float32(lo),'hi':np.float32(hi),'s':np.float32(s)},x)
w,b=f(4,4,3,3),f(4); bn={'s':f(4),'bb':f(4),'m':f(4),'v':np.abs(f(4))}
for bias in (0,1):
  ci=['x','w']+(['b'] if bias else []); it={'w':w,**bn}
  if bias: it['b']=b
  net(f'cbr{bias}',[N('Conv',ci,['c']),N('BatchNormalization',['c','s','bb','m','v'],['n']),N('Relu',['n'],['y'])],it,x)
  net(f'cb{bias}',[N('Conv',ci,['c']),N('BatchNormalization',['c','s','bb','m','v'],['y'])],it,x)
  net(f'cbtwice{bias}',[N('Conv',ci,['c']),N('BatchNormalization',['c','s','bb','m','v'],['n']),N('Relu',['c'],['r']),N('Add',['n','r'],['a']),N('Relu',['a'],['y'])],it,x)
  net(f'shared{bias}',[N('Conv',ci,['c'],pads=[1]*4),N('BatchNormalization',['c','s','bb','m','v'],['n']),N('Conv',['n']+ci[1:],['c2']),N('BatchNormalization',['c2','s','bb','m','v'],['y'])],it,x)
  net(f'cr_relu2{bias}',[N('Conv',ci,['c']),N('Relu',['c'],['r']),N('Sigmoid',['r'],['g']),N('Mul',['g','r'],['y'])],it,x)
  net(f'bnself{bias}',[N('Conv',ci,['c']),N('BatchNormalization',['c','s','bb','m','v'],['n']),N('BatchNormalization',['n','s','bb','m','v'],['y'])],it,x)
net('addrelu_b',[N('Add',['x','k'],['a']),N('Relu',['a'],['y'])],{'k':f(4,1,1)},x)
net('addself',[N('Add',['x','x'],['a']),N('Relu',['a'],['y'])],{},x)
net('sigmulself',[N('Sigmoid',['x'],['a']),N('Mul',['a','a'],['y'])],{},x)
net('softplustanh',[N('Softplus',['x'],['a']),N('Tanh',['a'],['t']),N('Mul',['t','x'],['y'])],{},x)
net('softplustanh2',[N('Softplus',['x'],['a']),N('Tanh',['a'],['t']),N('Relu',['x'],['r']),N('Mul',['t','r'],['y'])],{},x)
print(stat); print(json.dumps(seen,indent=0)[:6000])
